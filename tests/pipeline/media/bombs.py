"""Small files that ask for much: memory, pixels or time. Each takes no time to make."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.pipeline.media.made_media import flat, patched
from tests.support.ffmpeg_program import run_ffmpeg

MB = 1 << 20


def zeros(count: int) -> bytes:
    """A zlib stream of so many zeros; a block for a megabyte, again and again."""
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    one = block.compress(bytes(MB)) + block.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = last.compress(bytes(count % MB)) + last.flush()
    adler = ((count % 65521) << 16) | 1
    return b"\x78\xda" + one * (count // MB) + end + struct.pack(">I", adler)


def png(width: int, height: int, *more: bytes, depth: int = 1, colour: int = 0) -> bytes:
    """Black all over."""
    row = 1 + -(-width * depth * {0: 1, 2: 3, 6: 4}[colour] // 8)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", zeros(row * height))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, _chunk(b"IEND", b"")])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def animated_png(size: int, frames: int) -> bytes:
    head = png(size, size, _chunk(b"acTL", struct.pack(">II", frames, 0)))
    body = zeros((1 + -(-size // 8)) * size)
    after = b"".join(
        _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * n, size, size, 0, 0, 1, 25, 0, 0))
        + _chunk(b"fdAT", struct.pack(">I", 2 * n + 1) + body)
        for n in range(frames)
    )
    return head[:-12] + after + head[-12:]


def animated_gif(size: int, frames: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (size, size)).save(buffer, "GIF")
    once = buffer.getvalue()
    # The header of 13 bytes and its colours; then the image, which ends before the last byte.
    start = 13 + 3 * 2 ** ((once[10] & 7) + 1)
    return once[:start] + once[start:-1] * frames + b";"


def animated_webp(width: int, height: int, frames: int, frame_ms: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "WEBP", lossless=True)
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    frame = b"\0" * 6 + size + struct.pack("<I", frame_ms)[:3] + b"\0" + buffer.getvalue()[12:]
    body = b"WEBP" + _riff(b"VP8X", b"\x02\0\0\0" + size) + _riff(b"ANIM", bytes(6))
    body += _riff(b"ANMF", frame) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def huge_jpeg() -> bytes:
    """A small picture whose header says 50,000 x 50,000."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    return patched(b"\xff\xc0", 3, struct.pack(">HH", 50_000, 50_000))(buffer.getvalue())


def huge_tiff() -> bytes:
    """16 entries at most: 50,000 x 50,000 grey in one strip that lies past the end."""
    entries = [(256, 50_000), (257, 50_000), (258, 8), (259, 1), (262, 1), (273, 200),
               (277, 1), (278, 50_000), (279, 2_500_000_000)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(64)


def compressed_header() -> bytes:
    """QuickTime's compressed index, said to be 4 GB long."""
    packed = struct.pack(">I", 0xFFFF0000) + zeros(64 * MB)
    inner = _box(b"dcom", b"zlib") + _box(b"cmvd", packed)
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", _box(b"cmov", inner))


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def tagged_mp3() -> bytes:
    """An ID3 tag with a compressed picture of a gigabyte."""
    packed = zeros(1 << 30)
    flags = struct.pack(">H", 0x0009)  # compressed, with a length
    frame = b"APIC" + _synchsafe(4 + len(packed)) + flags + _synchsafe((1 << 28) - 1) + packed
    return b"ID3\x04\0\0" + _synchsafe(len(frame)) + frame + b"\xff\xfb\x90\x00" + bytes(413)


def _synchsafe(number: int) -> bytes:
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))


def wide_wav() -> bytes:
    form = struct.pack("<HHIIHH", 1, 65_535, 4_000_000_000, 4_000_000_000, 0xFFFE, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", 0x7FFFFFF0) + bytes(4096)
    return b"RIFF" + struct.pack("<I", 0x7FFFFFF0) + body


def nested_boxes() -> bytes:
    """Boxes in boxes, 100,000 deep."""
    name, count = b"moov", 100_000
    return _box(b"ftyp", b"isom\0\0\0\0isom") + b"".join(
        struct.pack(">I", 8 * (count - n)) + name for n in range(count)
    )


def long_index(path: Path) -> None:
    """An MP4 whose index is said to have 268 million entries."""
    flat(2)(path)
    path.write_bytes(patched(b"stsz", 4, struct.pack(">II", 1, 0x0FFFFFFF))(path.read_bytes()))


def slow_film(path: Path) -> None:
    """A frame of 67 megapixels every twenty seconds; some hundred bytes each, but the first."""
    once = path.with_suffix(".once.mkv")
    run_ffmpeg("-f", "lavfi", "-i", "color=black:s=8192x8192:r=1/20:d=260", "-c:v", "libx264",
               "-preset", "ultrafast", "-g", "1000", "-pix_fmt", "yuv420p", once)  # fmt: skip
    run_ffmpeg("-stream_loop", "1", "-i", once, "-c", "copy", path)


def _text(name: bytes) -> bytes:
    return _chunk(name, b"a\0\0" + zeros(1 << 30))


def _bytes(content: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content())


BOMBS: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "50000x50000.png": (_bytes(lambda: png(50_000, 50_000)), {"too_many_pixels"}),
    "50000x50000.jpg": (_bytes(huge_jpeg), {"too_many_pixels"}),
    "50000x50000.tif": (_bytes(huge_tiff), {"too_many_pixels"}),
    "100-megapixels.png": (
        _bytes(lambda: png(10_000, 10_000, depth=8, colour=6)), {"indexed"},
    ),
    "text.png": (_bytes(lambda: png(8, 8, _text(b"zTXt"))), {"undecodable"}),
    "profile.png": (_bytes(lambda: png(8, 8, _text(b"iCCP"))), {"undecodable"}),
    "animation.png": (_bytes(lambda: animated_png(3000, 400)), {"too_much_time"}),
    "animation.gif": (_bytes(lambda: animated_gif(3000, 40)), {"too_much_time"}),
    "animation.webp": (_bytes(lambda: animated_webp(4000, 3000, 300)), {"too_much_time"}),
    # Each frame claims to last for an hour and a half: what comes out must not buy time for ever.
    "slow-animation.webp": (
        _bytes(lambda: animated_webp(4000, 3000, 100, 5_000_000)), {"too_much_time"},
    ),
    "slow-film.mkv": (slow_film, {"too_much_time"}),
    "large-animation.webp": (
        _bytes(lambda: animated_webp(8_000, 8_000, 2)), {"too_much_memory", "undecodable"},
    ),
    "long-index.mp4": (long_index, {"too_much_memory", "undecodable", "empty_stream"}),
    "compressed-index.mov": (
        _bytes(compressed_header), {"too_much_memory", "undecodable", "no_streams"},
    ),
    "nested.mp4": (_bytes(nested_boxes), {"undecodable", "no_streams"}),
    "tag.mp3": (_bytes(tagged_mp3), {"too_much_memory", "undecodable"}),
    "wide.wav": (_bytes(wide_wav), {"undecodable", "empty_stream", "too_short"}),
}  # fmt: skip
