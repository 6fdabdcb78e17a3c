"""Decodes an object in a process of its own, with limits: a crash or a bomb costs one object.

    this process --request--> fork server --fork--> child --windows, as they come--> this process

A child is gone when its iterator ends, is closed, or is thrown away; when this process is killed;
and when it has run over a limit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from pipeline.byte_ranges import ByteRanges
from pipeline.errors import MediaRejected
from pipeline.media.nvdec import NvdecUse
from pipeline.media.poster import Poster
from pipeline.media.sandbox.protocol import GIVEN, BrokenWireError, receive
from pipeline.media.sandbox.server_process import EXIT_WAIT_S, request_child
from pipeline.media.window import DecodeEnd, Window
from pipeline.records import MediaInfo
from pipeline.settings_embedding import DecodeSettings

_LAST_WORDS = (DecodeEnd, Poster, Exception)
_READ_BYTES = 4096
_LAST_WORD_WAIT_S = 10.0
"""Long for the same reason as EXIT_WAIT_S. A child that has said its last word ends at once."""


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended. `signal_number` is 0 where it ended by itself."""

    signal_number: int
    cpu_seconds: float
    peak_rss_bytes: int


def decode_in_child(
    path: Path,
    settings: DecodeSettings,
    *,
    fetched: ByteRanges | None = None,
    on_exit: Callable[[ChildExit], None] | None = None,
    nvdec: NvdecUse | None = None,
) -> Iterator[MediaInfo | Window | DecodeEnd]:
    """`pipeline.media.decode.decode` in a child: the same items, as they come, one at a time. With
    `nvdec` the child can reach the GPUs, and has no limit on memory (docs/security.md).

    `fetched` is what is there of the file, where that is not all. Close the iterator to stop early.
    Raises what `decode` raises, and MediaRejected
    `too_much_memory`, `too_much_time` or `decoder_crashed` for a child that did not live to tell.
    """
    there = None if fetched is None else fetched.to_bytes()
    more: dict[str, Any] = {} if there is None else {"ranges_bytes": len(there)}
    if nvdec is not None:
        more["nvdec"] = dataclasses.asdict(nvdec)
    with contextlib.closing(_told(path, settings, more, there, on_exit)) as items:
        for item in items:
            if not isinstance(item, Poster):
                yield item


def poster_in_child(path: Path, settings: DecodeSettings, at_ms: int, side: int) -> Poster:
    """`pipeline.media.poster.poster` in a child. Raises what `decode_in_child` raises."""
    more = {"poster": {"at_ms": at_ms, "side": side}}
    with contextlib.closing(_told(path, settings, more)) as items:
        for item in items:
            if isinstance(item, Poster):
                return item
    raise MediaRejected("The decoder gave no picture.", code="decoder_crashed")


def _told(
    path: Path,
    settings: DecodeSettings,
    more: dict[str, Any],
    there: bytes | None = None,
    on_exit: Callable[[ChildExit], None] | None = None,
) -> Generator[MediaInfo | Window | DecodeEnd | Poster, None, None]:
    """What a new child says, as it comes, until its last word."""
    job = start_job(path, settings, **more)
    if there is not None:
        job.tell(there)
    exited: ChildExit | None = None
    finished = False
    try:
        while True:
            try:
                item = receive(job.read_into)
                finished = isinstance(item, _LAST_WORDS)
            except BrokenWireError as error:
                exited = job.end(_LAST_WORD_WAIT_S)
                raise _verdict(exited, settings, str(error)) from error
            except TimeoutError as error:
                raise MediaRejected(
                    f"Decoding took longer than {settings.max_wall_s} s.",
                    code="too_much_time",
                    remedy="Raise decode.max_wall_s.",
                ) from error
            if isinstance(item, MemoryError):
                raise _too_much_memory(settings)
            if isinstance(item, RuntimeError):
                raise MediaRejected(f"The decoder failed: {item}.", code="decoder_crashed")
            if isinstance(item, Exception):
                raise item
            yield item
            if finished:
                return
    finally:
        exited = exited or job.end(_LAST_WORD_WAIT_S if finished else 0.0)
        if on_exit is not None:
            on_exit(exited)


class Job:
    """One child: its data, and the line that keeps it alive."""

    def __init__(self, data: socket.socket, control: socket.socket, wall_s: float) -> None:
        self._data = data
        self._control = control
        self._left_s = wall_s
        self._read = memoryview(b"")

    def give(self, file: FileIO, wall_s: float, *more: int) -> None:
        """Hand the next file, open, to a child that takes several, with so much time for it, and
        `more` open files beside it.

        Raises OSError where the child is gone.
        """
        self._left_s = wall_s
        socket.send_fds(self._data, [GIVEN], [file.fileno(), *more])

    def tell(self, data: bytes) -> None:
        """What the child reads before its work. One that is gone is found out when it is heard."""
        self._data.settimeout(self._left_s)
        with contextlib.suppress(OSError):
            self._data.sendall(data)

    def read_into(self, buffer: memoryview) -> None:
        """Fills it. Only the time spent waiting for the child counts: it may wait for us as long
        as it must."""
        filled = 0
        while filled < len(buffer):
            if not self._read:
                # A message's beginning is short, and what follows it has mostly come with it.
                if len(buffer) - filled >= _READ_BYTES:
                    filled += self._receive_into(buffer[filled:])
                    continue
                room = bytearray(_READ_BYTES)
                self._read = memoryview(room)[: self._receive_into(memoryview(room))]
            taken = min(len(self._read), len(buffer) - filled)
            buffer[filled : filled + taken] = self._read[:taken]
            self._read = self._read[taken:]
            filled += taken

    def _receive_into(self, buffer: memoryview) -> int:
        """How many bytes came: one or more."""
        if self._left_s <= 0:
            raise TimeoutError
        began = time.monotonic()
        self._data.settimeout(self._left_s)
        try:
            got = self._data.recv_into(buffer)
        except ConnectionError as error:
            raise BrokenWireError("the connection broke") from error
        finally:
            self._left_s -= time.monotonic() - began
        if got == 0:
            raise BrokenWireError("the child ended before its work")
        return got

    def end(self, patience_s: float) -> ChildExit:
        """Returns when the child is gone: of itself within `patience_s`, else killed."""
        with self._data, self._control:
            report = self._report(patience_s) if patience_s else None
            if report is None:
                with contextlib.suppress(OSError):  # the fork server is gone, and all with it
                    self._control.shutdown(socket.SHUT_WR)
                report = self._report(EXIT_WAIT_S)
        if not report:
            return ChildExit(signal.SIGKILL, 0.0, 0)
        told = json.loads(report)
        return ChildExit(told["signal"], told["cpu_seconds"], told["peak_rss_bytes"])

    def _report(self, wait_s: float) -> bytes | None:
        """What the fork server says of the child's end; empty if it is gone itself, None if the
        child still runs."""
        self._control.settimeout(wait_s)
        try:
            return self._control.recv(4096)
        except TimeoutError:
            return None
        except OSError:
            return b""


def _verdict(exited: ChildExit, settings: DecodeSettings, what: str) -> MediaRejected:
    number = exited.signal_number
    if number == signal.SIGXCPU or exited.cpu_seconds >= settings.max_cpu_s:
        return _too_much_cpu(exited.cpu_seconds)
    name = f"was ended by {signal.Signals(number).name}" if number else f"failed: {what}"
    return MediaRejected(
        f"The decoder {name}.",
        code="decoder_crashed",
        remedy="Retry it alone; if it happens again, the object is broken or hostile.",
    )


def _too_much_cpu(seconds: float) -> MediaRejected:
    return MediaRejected(
        f"Decoding took {seconds:.0f} s of CPU time and more, too much for what the object is.",
        code="too_much_time",
        remedy="Raise decode.cpu_grace_s if the object is to be trusted; the most for any object "
        "is decode.max_cpu_s.",
    )


def _too_much_memory(settings: DecodeSettings) -> MediaRejected:
    return MediaRejected(
        f"Decoding needs more than {settings.max_memory_mb} MB.",
        code="too_much_memory",
        remedy="Raise decode.max_memory_mb if the object is to be trusted.",
    )


def start_job(path: Path | None, settings: DecodeSettings, **more: Any) -> Job:
    """A new child, for the file at `path`; `more` goes into its request."""
    request = {"settings": settings.model_dump(mode="json"), **more}
    if path is not None:
        request["path"] = str(path.absolute())
    data, control = request_child(json.dumps(request).encode())
    return Job(data, control, settings.max_wall_s)
