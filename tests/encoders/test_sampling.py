"""The reference's samplings beside its golden answers, and the windows of the pipeline."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.errors import InputError
from encoders.preprocess.sampling import Clip, clips_of, frames_of
from encoders.preprocess.video import clip_crops, reference_frames
from tests.support.ffmpeg_program import run_ffmpeg


def test_time_points_are_the_golden_ones(golden_dir: Path) -> None:
    rows = json.loads((golden_dir / "clip_timepoints.json").read_text())
    assert {row["clips_per_video"] for row in rows} >= {3, 5}  # of sound, of video
    for row in rows:
        clips = clips_of(
            row["duration"], "reference", clips=row["clips_per_video"], clip_s=row["clip_duration"]
        )
        got = [(float(clip.start_s), float(clip.end_s)) for clip in clips]
        assert np.allclose(got, row["clips"], atol=1e-9), row["duration"]


def test_video_clips_are_the_golden_ones(shared_dir: Path | None) -> None:
    if shared_dir is None:
        pytest.skip("no media of the reference beside the checkout")
    got = reference_clips(shared_dir / "media/testsrc2_9s.mp4")
    with np.load(shared_dir / "golden/preprocess/testsrc2_9s.video.npz") as wanted:
        want = wanted["clips"].astype(np.float32)
    assert got.shape == want.shape
    assert worst_clip(got, want) <= 0.02


def test_clips_of_a_film_drawn_here_are_the_golden_ones(golden_dir: Path, tmp_path: Path) -> None:
    """The same film before it was compressed, and of its answers every fourth pixel both ways.

    The compression is 0.0206 of the bound; one frame later or earlier would be 0.12.
    """
    film = tmp_path / "film.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=426x240:rate=25", "-t", "9",
               "-c:v", "ffv1", "-pix_fmt", "yuv420p", film)  # fmt: skip
    got = reference_clips(film)
    with np.load(golden_dir / "testsrc2_clips.npz") as wanted:
        want = wanted["clips"].astype(np.float32)
    assert got.shape == (15, 3, 2, 224, 224)
    assert worst_clip(got[..., 2::4, 2::4], want) <= 0.025


def reference_clips(film: Path) -> NDArray[np.float32]:
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        fps = stream.average_rate
        assert fps is not None
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    numbers = reference_frames(len(frames), fps)
    return torch.cat(
        [clip_crops(torch.from_numpy(np.stack([frames[i] for i in pair]))) for pair in numbers]
    ).numpy()


def worst_clip(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """The mean difference of the clip in which it is largest."""
    assert got.shape == want.shape
    return float(np.abs(got - want).mean(axis=(1, 2, 3, 4)).max())


def test_clips_without_the_golden_ones() -> None:
    halves = clips_of(5, "reference")
    assert [(c.start_s, c.end_s) for c in halves] == [
        (0, 2),
        (Fraction(3, 2), Fraction(7, 2)),
        (3, 5),
    ]
    assert clips_of(0.5, "reference") == (Clip(Fraction(0), Fraction(2)),) * 3
    windows = clips_of(Fraction(9, 2), "windows")
    assert [(c.start_s, c.end_s) for c in windows] == [(0, 2), (2, 4), (4, 6)]
    assert frames_of(Clip(Fraction(0), Fraction(2)), 25, 1000) == [0, 49]
    assert frames_of(Clip(Fraction(0), Fraction(2)), 25, 10) == [0, 9]
    assert frames_of(Clip(Fraction(2), Fraction(4)), 25, 1000, count=4) == [50, 66, 82, 99]
    for duration, clips in ((0, 3), (-1, 3), (3, 0)):
        with pytest.raises(InputError):
            clips_of(duration, "reference", clips=clips)
    with pytest.raises(InputError, match="No frame"):
        frames_of(Clip(Fraction(9), Fraction(11)), 25, 100)


def test_crops_reach_both_ends_of_the_long_side() -> None:
    wide = torch.zeros(2, 224, 448, 3, dtype=torch.uint8)
    wide[:, :, :20] = 255  # a white rim on the left
    wide[:, :, -20:] = 255  # and on the right
    three = clip_crops(wide)
    assert three.shape == (3, 3, 2, 224, 224)
    low = three.min()
    assert (three[0, ..., :20] > low).all()
    assert (three[1] == three[1, :, :1, :1, :1]).all()  # the middle has neither
    assert (three[2, ..., -20:] > low).all()
    tall = clip_crops(wide.transpose(1, 2).contiguous())
    assert torch.equal(tall, three.transpose(-1, -2))
    assert torch.equal(clip_crops(wide, crops=1), three[1:2])
    for bad, crops in ((wide.float(), 3), (wide[0], 3), (wide[:0], 3), (wide, 2)):
        with pytest.raises(InputError):
            clip_crops(bad, crops)
