"""Rotation, pixel aspect and colour depth of video; both decoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.frame_chain import FrameChain, Orientation
from tests.pipeline.media.clips import BASE, decoded, ffmpegs, write_numbered
from tests.support.ffmpeg_program import run_ffmpeg

TIMES = [Fraction(n, 10) for n in range(10)]
RIGHT_LIGHT = 45 * BASE  # the right half is light, the left half black


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize(
    ("rotation", "light"), [(0, "right"), (90, "top"), (-90, "bottom"), (180, "left")]
)
def test_rotation_by_metadata(tmp_path: Path, decoder: str, rotation: int, light: str) -> None:
    # set_display_rotation turns counterclockwise: what was on the right comes to the top by 90.
    clip = write_numbered(
        tmp_path / "turned.mp4", TIMES, numbers=[RIGHT_LIGHT] * 10, size=(96, 64), rotation=rotation
    )
    got = decoded(clip, decoder=decoder, window_ms=1000)
    assert (got.info.width, got.info.height) == ((96, 64) if rotation % 180 == 0 else (64, 96))
    frames = got.windows[0].frames
    assert frames is not None
    grey = frames[0].mean(axis=2)
    parts = {
        "left": grey[:, :60], "right": grey[:, -60:], "top": grey[:60], "bottom": grey[-60:],
    }  # fmt: skip
    assert max(parts, key=lambda name: float(parts[name].mean())) == light


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
def test_pixel_aspect(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(
        tmp_path / "wide.mp4", TIMES, size=(64, 64), pixel_aspect=Fraction(16, 11)
    )
    got = decoded(clip, decoder=decoder, window_ms=1000)
    assert (got.info.width, got.info.height) == (93, 64)


@pytest.mark.slow("both decoders for each, 4 s of these")
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le", "yuv422p", "gray"])
def test_both_give_the_same_pixels(tmp_path: Path, pixels: str) -> None:
    clip = tmp_path / "clip.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=200x120:r=25:d=3.1", "-vf", "hue=H=t", "-c:v",
               "ffv1" if pixels == "gray" else "libx264", "-pix_fmt", pixels, clip)  # fmt: skip
    ours = decoded(clip, decoder="pyav")
    for program in ffmpegs():
        theirs = decoded(clip, decoder="ffmpeg", ffmpeg_path=program)
        assert theirs.spans == ours.spans
        for a, b in zip(ours.windows, theirs.windows, strict=True):
            assert a.frames is not None
            assert b.frames is not None
            assert np.abs(a.frames.astype(int) - b.frames).mean() < 1


def test_the_matrix_says_how_to_turn() -> None:
    one = 1 << 16

    def turned(a: int, b: int, c: int, d: int) -> Orientation:
        return Orientation.of_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))

    assert turned(one, 0, 0, one) == Orientation(0)
    assert turned(0, one, -one, 0) == Orientation(90)
    assert turned(-one, 0, 0, -one) == Orientation(180)
    assert turned(0, -one, one, 0) == Orientation(270)
    assert turned(-one, 0, 0, one) == Orientation(0, mirrored=True)
    assert turned(one, 0, 0, -one) == Orientation(180, mirrored=True)
    assert turned(0, 0, 0, 0) == Orientation(0)


def test_the_short_side_is_scaled() -> None:
    assert FrameChain.of(1920, 1080, Fraction(1), Orientation()).scaled_width == 398
    assert FrameChain.of(1080, 1920, Fraction(1), Orientation()).scaled_height == 398
    assert FrameChain.of(720, 576, Fraction(64, 45), Orientation()).scaled_width == 398
    assert FrameChain.of(1_000_000, 1, Fraction(1), Orientation()).scaled_width == 224 * 64
