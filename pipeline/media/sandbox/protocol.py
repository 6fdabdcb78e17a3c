"""The messages of a decoding child: a JSON header with its length, then raw arrays.

No pickle: what decoded hostile media is not to be believed. Sizes are checked before anything is
allocated for them.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges, NotFetchedError
from pipeline.errors import MediaRejected
from pipeline.media.nvdec import DeviceUnavailable
from pipeline.media.poster import LARGEST_SIDE, Poster
from pipeline.media.window import FRAME_PX, SAMPLES_PER_MS, DecodeEnd, Window
from pipeline.records import MediaInfo, MediaType, Segment, Status

_LENGTH = struct.Struct("<I")
_MAX_HEADER = 1 << 20
_MAX_FRAMES = 64
_MAX_WINDOW_MS = 3_600_000

GIVEN = b"\0"
"""Goes with each file that is handed to a child that takes several; with the first comes the memory
that both share (`picture_area`)."""

Item = MediaInfo | Window | DecodeEnd


class BrokenWireError(Exception):
    """The other side ended, or sent something that is not a message."""


def send_item(connection: socket.socket, item: Item) -> None:
    """Blocks until the other side has room."""
    if isinstance(item, Window):
        header = {
            "is": "window",
            "segment": [item.segment.index, item.segment.start_ms, item.segment.end_ms],
            "frames": 0 if item.frames is None else len(item.frames),
            "samples": 0 if item.sound is None else len(item.sound),
        }
        _send_header(connection, header)
        if item.frames is not None:
            connection.sendall(np.ascontiguousarray(item.frames).data.cast("B"))
        if item.sound is not None:
            connection.sendall(np.ascontiguousarray(item.sound, "<i2").data.cast("B"))
    else:
        kind = "info" if isinstance(item, MediaInfo) else "end"
        _send_header(connection, {"is": kind, **asdict(item)})


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that a shared child read. Its frame, uint8 (224, 224, 3), or None where it lies in
    the memory that both share, with `width` and `height`."""

    info: MediaInfo
    cpu_seconds: float
    width: int = 0
    height: int = 0
    frame: NDArray[np.uint8] | None = None


def send_still(connection: socket.socket, still: Still) -> None:
    """One message, the frame behind it."""
    header = {"is": "still", "info": asdict(still.info), "cpu_seconds": still.cpu_seconds}
    _send_header(connection, {**header, "size": [still.width, still.height]})
    if still.frame is not None:
        connection.sendall(np.ascontiguousarray(still.frame).data.cast("B"))


def receive_still(read_into: Callable[[memoryview], None]) -> Still:
    """Raises BrokenWireError, for all that is said instead too."""
    header = _receive_header(read_into)
    try:
        if header["is"] != "still":
            raise BrokenWireError(f"no still, but {header['is']!r}")
        info = _info(header["info"])
        width, height = (int(number) for number in header["size"])
        frame: NDArray[np.uint8] | None = None
        if (width, height) == (0, 0):
            frame = np.empty((FRAME_PX, FRAME_PX, 3), np.uint8)
            read_into(frame.data.cast("B"))
        return Still(info, float(header["cpu_seconds"]), width, height, frame)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenWireError(f"a message that makes no sense: {error}") from error


def send_facts(connection: socket.socket, facts: Mapping[str, bool]) -> None:
    """What a child says of itself, in place of windows."""
    _send_header(connection, {"is": "facts", **facts})


def receive_facts(read_into: Callable[[memoryview], None]) -> dict[str, bool]:
    """Raises BrokenWireError."""
    header = _receive_header(read_into)
    if header.pop("is", None) != "facts":
        raise BrokenWireError(f"no facts, but {header.get('message', 'something else')}")
    return {str(name): bool(value) for name, value in header.items()}


def receive_ranges(connection: socket.socket, size_bytes: int) -> ByteRanges:
    """What the parent says is there of the file, of `size_bytes` on the wire. Raises
    BrokenWireError."""
    data = bytearray()
    while len(data) < size_bytes:
        got = connection.recv(size_bytes - len(data))
        if not got:
            raise BrokenWireError("the parent ended before it had said what is there")
        data += got
    return ByteRanges.from_bytes(bytes(data))


def send_poster(connection: socket.socket, poster: Poster) -> None:
    """One message, the pixels behind it."""
    height, width, _ = poster.pixels.shape
    _send_header(connection, {"is": "poster", "size": [width, height]})
    connection.sendall(np.ascontiguousarray(poster.pixels).data.cast("B"))


def send_error(connection: socket.socket, error: BaseException) -> None:
    """A MediaRejected or DeviceUnavailable as it is; an OSError by its number; else the name."""
    header: dict[str, Any] = {"is": "crash", "message": f"{type(error).__name__}: {error}"}
    if isinstance(error, MediaRejected):
        header = {
            "is": "rejected", "message": error.message, "code": error.code, "remedy": error.remedy,
        }  # fmt: skip
    elif isinstance(error, NotFetchedError):
        header = {"is": "not fetched"}
    elif isinstance(error, DeviceUnavailable):
        header = {"is": "device", "message": error.message, "remedy": error.remedy}
    elif isinstance(error, MemoryError):
        header = {"is": "memory"}
    elif isinstance(error, OSError) and error.errno is not None:
        header = {"is": "os", "errno": error.errno, "message": error.strerror or str(error)}
    _send_header(connection, header)


def receive(read_into: Callable[[memoryview], None]) -> Item | Poster | Exception:
    """The next item, or the error that the other side ended with.

    `read_into` fills a whole buffer. Raises BrokenWireError for what is no message.
    """
    header = _receive_header(read_into)
    try:
        kind = header.pop("is")
        if kind == "window":
            return _receive_window(header, read_into)
        if kind == "poster":
            return _receive_poster(header, read_into)
        if kind == "info":
            return _info(header)
        if kind == "end":
            return DecodeEnd(**{**header, "status": Status(header["status"])})
        if kind == "device":
            return DeviceUnavailable(str(header["message"]), remedy=str(header["remedy"]))
        if kind == "rejected":
            message, code, remedy = (str(header[n]) for n in ("message", "code", "remedy"))
            return MediaRejected(message, code=code, remedy=remedy)
        if kind == "not fetched":
            return NotFetchedError()
        if kind == "memory":
            return MemoryError()
        if kind == "os":
            return OSError(int(header["errno"]), str(header["message"]))
        if kind == "crash":
            return RuntimeError(str(header["message"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenWireError(f"a message that makes no sense: {error}") from error
    raise BrokenWireError(f"a message of no known kind: {kind!r}")


def _send_header(connection: socket.socket, header: Mapping[str, Any]) -> None:
    data = json.dumps(header).encode()
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive_header(read_into: Callable[[memoryview], None]) -> dict[str, Any]:
    prefix = bytearray(_LENGTH.size)
    read_into(memoryview(prefix))
    (length,) = _LENGTH.unpack(prefix)
    if length > _MAX_HEADER:
        raise BrokenWireError(f"a header of {length} bytes")
    data = bytearray(length)
    read_into(memoryview(data))
    try:
        header = json.loads(data)
    except ValueError as error:
        raise BrokenWireError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise BrokenWireError("a header that is no object")
    return header


def _info(fields: dict[str, Any]) -> MediaInfo:
    return MediaInfo(**{**fields, "media_type": MediaType(fields["media_type"])})


def _receive_window(header: Mapping[str, Any], read_into: Callable[[memoryview], None]) -> Window:
    segment = Segment(*(int(number) for number in header["segment"]))
    frames: NDArray[np.uint8] | None = None
    sound: NDArray[np.int16] | None = None
    frame_count, samples = int(header["frames"]), int(header["samples"])
    if not 0 <= frame_count <= _MAX_FRAMES or not 0 <= samples <= _MAX_WINDOW_MS * SAMPLES_PER_MS:
        raise BrokenWireError(f"a window of {frame_count} frames and {samples} samples")
    if frame_count:
        frames = np.empty((frame_count, FRAME_PX, FRAME_PX, 3), np.uint8)
        read_into(frames.data.cast("B"))
    if samples:
        sound = np.empty(samples, np.dtype("<i2"))
        read_into(sound.data.cast("B"))
    return Window(segment, frames, sound)


def _receive_poster(header: Mapping[str, Any], read_into: Callable[[memoryview], None]) -> Poster:
    width, height = (int(number) for number in header["size"])
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise BrokenWireError(f"a poster of {width}x{height}")
    pixels = np.empty((height, width, 3), np.uint8)
    read_into(pixels.data.cast("B"))
    return Poster(pixels)
