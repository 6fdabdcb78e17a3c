"""Small media that tests make for themselves: every one differs, by its number."""

from __future__ import annotations

import io
import tempfile
import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.ffmpeg_program import run_ffmpeg


def picture_array(number: int, size: tuple[int, int] = (320, 240)) -> NDArray[np.uint8]:
    """(height, width, 3): coloured blobs, as a photograph has large and small shapes."""
    random = np.random.default_rng(number)
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    image = np.zeros((height, width, 3), np.float32) + random.uniform(0, 120, 3)
    for _ in range(12):
        centre_x, centre_y = random.uniform(0, width), random.uniform(0, height)
        radius = random.uniform(10, 90)
        blob = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * radius**2))
        image += blob[..., None] * random.uniform(-160, 200, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


@cache
def jpeg(number: int, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture_array(number)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sound_array(number: int, seconds: float) -> NDArray[np.int16]:
    """(samples,) of 16 kHz: a chord that glides, so that no two windows are alike."""
    random = np.random.default_rng(number)
    t = np.arange(int(seconds * 16_000)) / 16_000
    tones = sum(
        np.sin(2 * np.pi * (random.uniform(150, 2000) * t + random.uniform(-60, 60) * t**2))
        for _ in range(4)
    )
    return (tones * 4000).astype(np.int16)


@cache
def wav(number: int, seconds: float = 5.0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(sound_array(number, seconds).tobytes())
    return buffer.getvalue()


@cache
def mp4(number: int, seconds: int = 6) -> bytes:
    """H.264 and AAC: a picture of its own for every two seconds, with a gliding sound."""
    with tempfile.TemporaryDirectory() as folder:
        return _mp4(Path(folder), number, seconds)


def _mp4(folder: Path, number: int, seconds: int) -> bytes:
    for shot in range((seconds + 1) // 2):
        Image.fromarray(picture_array(1000 * number + shot)).save(folder / f"{shot}.png")
    (folder / "sound.wav").write_bytes(wav(number, seconds))
    target = folder / "made.mp4"
    run_ffmpeg(
        *("-framerate", "1/2", "-i", folder / "%d.png", "-i", folder / "sound.wav"),
        *("-r", "10", "-pix_fmt", "yuv420p", "-t", seconds),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", target),
    )
    return target.read_bytes()
