"""Decodes objects, small stills of the common kinds several to a child, all else each in its own.

A child of its own costs an object more than a small picture does (docs/performance.md). What a
child that was shared says is only taken where it is a clean end: everything else (a rejection, a
crash, a limit) is asked again of a child that has seen nothing but this object, so that no object
is blamed for what another did, and the others go to a fresh child.

What a picture that takes over its decoder could do to those after it in the same child, and why
only these kinds share one, stands in docs/security.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges
from pipeline.media.nvdec import MIN_AUTO_BYTES, NvdecUse
from pipeline.media.sandbox.client import Job, decode_in_child, start_job
from pipeline.media.sandbox.picture_area import PictureArea
from pipeline.media.sandbox.protocol import BrokenWireError, Item, Still, receive_still
from pipeline.media.window import DecodeEnd, Window
from pipeline.records import Segment, Status
from pipeline.settings_embedding import DecodeSettings

MAX_OBJECT_BYTES = 32 * 2**20
MAX_CHILD_BYTES = 256 * 2**20
MAX_CHILD_CPU_S = 30.0
MAX_WALL_S = 30
_COMMON_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class SandboxDecoder:
    """Decodes one object after the other; not for several threads. To be closed. What `nvdec`
    allows goes to the device, unless the object is too small to be worth it."""

    def __init__(self, settings: DecodeSettings, nvdec: NvdecUse | None = None) -> None:
        self._settings = settings
        self._nvdec = nvdec
        self._job: Job | None = None
        self._area: PictureArea | None = None
        self._objects = 0
        self._bytes = 0
        self._cpu_s = 0.0

    def decode(self, path: Path, fetched: ByteRanges | None = None) -> Iterator[Item]:
        """As `decode_in_child`, and raises what that raises."""
        if self._settings.objects_per_child > 1 and fetched is None:
            items = self._decode_shared(path)
            if items is not None:
                yield from items
                return
        # A device's library reads as it likes: a file with holes is not for it.
        worth_it = self._settings.decoder == "nvdec" or path.stat().st_size >= MIN_AUTO_BYTES
        nvdec = self._nvdec if worth_it and fetched is None else None
        yield from decode_in_child(path, self._settings, fetched=fetched, nvdec=nvdec)

    def close(self) -> None:
        """End the child that waits for more."""
        self._end_child()
        if self._area is not None:
            self._area.close()
            self._area = None

    def _end_child(self) -> None:
        if self._job is not None:
            self._job.end(0.0)
            self._job = None

    def _decode_shared(self, path: Path) -> tuple[Item, ...] | None:
        """None where it is none to share a child for, or did not end well, whatever the reason."""
        try:
            with path.open("rb", buffering=0) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if not _may_share(file, size_bytes):
                    return None
                still = self._ask(file)
            frame = still.frame if still.frame is not None else self._frame(still)
        except (OSError, BrokenWireError, ValueError):  # TimeoutError is an OSError
            self._end_child()
            return None
        self._objects += 1
        self._bytes += size_bytes
        self._cpu_s += still.cpu_seconds
        if (
            self._objects >= self._settings.objects_per_child
            or self._bytes >= MAX_CHILD_BYTES
            or self._cpu_s >= MAX_CHILD_CPU_S
        ):
            self._end_child()
        window = Window(Segment(0, 0, 0), frame[None], None)
        return still.info, window, DecodeEnd(Status.INDEXED, 0, cpu_seconds=still.cpu_seconds)

    def _ask(self, file: FileIO) -> Still:
        wall_s = min(MAX_WALL_S, self._settings.max_wall_s)
        if self._job is not None:
            self._job.give(file, wall_s)
        else:
            self._area = self._area or PictureArea()
            self._job = start_job(None, self._settings)
            self._objects, self._bytes, self._cpu_s = 0, 0, 0.0
            self._job.give(file, wall_s, self._area.number)
        return receive_still(self._job.read_into)

    def _frame(self, still: Still) -> NDArray[np.uint8]:
        if self._area is None:
            raise ValueError("no picture was asked for")
        return self._area.frame(still.width, still.height)


def _may_share(file: FileIO, size_bytes: int) -> bool:
    """Says so by its first bytes; where it is read from next stays as it was."""
    return 0 < size_bytes <= MAX_OBJECT_BYTES and os.pread(file.fileno(), 8, 0).startswith(
        _COMMON_MAGIC
    )
