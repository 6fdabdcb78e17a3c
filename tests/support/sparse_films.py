"""Films with noise in them, of which a key frame is a small part; and a film as it was decoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.media.window import DecodeEnd, Window
from tests.support.ffmpeg_program import run_ffmpeg


def write_film(path: Path, *options: object, seconds: int = 12, codec: str = "libx264") -> None:
    """Some 3 MB a second, 30 frames in each, a key frame every two seconds."""
    noise = f"testsrc2=s=320x240:r=30:d={seconds},noise=alls=60:allf=t"
    quality = ("-qp", "12") if codec == "libx264" else ("-x265-params", "qp=12:log-level=none")
    run_ffmpeg(
        *("-f", "lavfi", "-i", noise, "-c:v", codec, "-preset", "ultrafast", *quality, "-g", 60),
        *("-keyint_min", 60, "-sc_threshold", 0, "-bf", 2, "-pix_fmt", "yuv420p", *options, path),
    )


def comparable(items: Iterable[object]) -> list[Any]:
    """What a decoder gave, without how long it took."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, Window):
            frames, sound = (None if a is None else a.tobytes() for a in (item.frames, item.sound))
            found.append((item.segment, frames, sound))
        elif isinstance(item, DecodeEnd):
            found.append((item.status, item.decoded_ms, item.note, item.silent))
        else:
            found.append(item)
    return found
