"""How media are made for the tests: by ffmpeg, by Pillow, or put together byte by byte."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pipeline.media.clips import tone, write_numbered
from tests.support.ffmpeg_program import run_ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=3")
SOUND = ("-f", "lavfi", "-i", "sine=440:r=48000:d=3")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def by_ffmpeg(*arguments: str) -> Callable[[Path], None]:
    return lambda path: run_ffmpeg(*arguments, path)


def still(size: tuple[int, int], mode: str = "RGB", **how: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        gradient = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0])
        Image.fromarray(gradient.astype(np.uint8)).convert(mode).save(path, **how)  # type: ignore[arg-type]

    return make


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def changed(
    make: Callable[[Path], object], how: Callable[[bytes], bytes]
) -> Callable[[Path], object]:
    """As another one, but for its bytes."""

    def both(path: Path) -> None:
        make(path)
        path.write_bytes(how(path.read_bytes()))

    return both


# ---- sound


def float_wav(samples: np.ndarray, width: int = 4) -> bytes:
    """A WAV file of IEEE floats, 16 kHz, mono."""
    body = samples.astype(f"<f{width}").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16_000, 16_000 * width, width, 8 * width)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def not_numbers() -> np.ndarray:
    sound = tone(3.0).astype(np.float64) / 32768
    sound[1000:1100] = np.nan
    sound[20_000:20_100] = np.inf
    sound[40_000:40_100] = -np.inf
    return sound


def pcm(seconds: float, *, rate_hz: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        count = round(seconds * rate_hz) * channels * width
        file.writeframes(np.random.default_rng(1).bytes(count))
    return buffer.getvalue()


# ---- video


def flat(count: int, **how: object) -> Callable[[Path], object]:
    times = [Fraction(n, 25) for n in range(count)]
    return lambda path: write_numbered(path, times, **how)  # type: ignore[arg-type]


def patched(box: bytes, at: int, value: bytes) -> Callable[[bytes], bytes]:
    """The bytes at that place behind the name of an MP4 box, changed."""

    def how(content: bytes) -> bytes:
        start = content.index(box) + len(box) + at
        return content[:start] + value + content[start + len(value) :]

    return how


def longer_mkv(seconds: float) -> Callable[[bytes], bytes]:
    """The Matroska element Duration (a float of milliseconds), changed."""

    def how(content: bytes) -> bytes:
        start = content.index(b"\x44\x89\x88") + 3
        return content[:start] + struct.pack(">d", seconds * 1000) + content[start + 8 :]

    return how


def spoilt(content: bytes) -> bytes:
    """All that the box mdat holds, overwritten: each frame is announced, none can be decoded."""
    start = content.index(b"mdat") + 4
    length = struct.unpack(">I", content[start - 8 : start - 4])[0] - 8
    return content[:start] + b"\x5a" * length + content[start + length :]


def holed(content: bytes) -> bytes:
    """Every seventh packet of an MPEG transport stream left out."""
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    return b"".join(p for n, p in enumerate(packets) if n < 40 or n % 7)


# ---- pictures


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 60), "red").save(path, exif=exif)


def sixteen_bit(path: Path) -> None:
    values = np.linspace(0, 65535, 300 * 200).reshape(200, 300).astype(np.uint16)
    Image.fromarray(values).save(path)
