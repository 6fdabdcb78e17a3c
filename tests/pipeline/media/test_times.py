"""Which frame is taken: read from the frame itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.grid import Grid, Ticks, milliseconds
from pipeline.records import MediaType, Status
from tests.pipeline.media.clips import decoded, on_screen, tone, write_numbered
from tests.support.ffmpeg_program import run_ffmpeg

DECODERS = ["pyav", "ffmpeg"]
STEADY = [Fraction(n, 25) for n in range(137)]  # 5.48 s
VARIABLE = [
    Fraction(ms, 1000)
    for ms in (0, 40, 120, 480, 500, 533, 900, 1499, 1501, 1700, 2490, 2510, 4800)
]


def expected(times: list[Fraction], window_ms: int, count: int, end_ms: int) -> list[list[int]]:
    grid = Grid(window_ms, count)
    return [
        [on_screen(times, grid.sample_s(k * count + n)) for n in range(count)]
        for k in range(grid.windows_over(end_ms))
    ]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("window_ms", "count"), [(2000, 2), (1000, 3), (700, 1), (5000, 8)])
def test_steady_frame_rate(tmp_path: Path, decoder: str, window_ms: int, count: int) -> None:
    clip = write_numbered(tmp_path / "steady.mp4", STEADY)
    got = decoded(clip, decoder=decoder, window_ms=window_ms, frames_per_window=count)
    assert got.numbers == expected(STEADY, window_ms, count, 5480)
    assert got.spans[0] == (0, window_ms)
    assert got.spans[-1][1] == 5480
    assert got.end.status is Status.INDEXED
    assert got.info.media_type is MediaType.VIDEO
    assert (got.info.width, got.info.height, got.info.video_codec) == (64, 64, "h264")


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path: Path, decoder: str, suffix: str) -> None:
    clip = write_numbered(tmp_path / f"variable.{suffix}", VARIABLE, time_base=Fraction(1, 1000))
    got = decoded(clip, decoder=decoder, window_ms=1000, frames_per_window=4)
    assert got.numbers == expected(VARIABLE, 1000, 4, 4801)[: len(got.numbers)]
    assert len(got.numbers) == 5


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {"crf": "4", "g": "25", "bf": "0"}),
        ("mkv", "libx264", {"crf": "4", "g": "30", "bf": "4", "x264-params": "open-gop=1"}),
        ("ts", "libx264", {"crf": "4", "g": "250", "bf": "3", "b-pyramid": "strict"}),
        ("mp4", "libx265", {"crf": "4", "g": "30", "x265-params": "log-level=none"}),
        ("webm", "libvpx-vp9", {"crf": "4", "b": "0", "g": "30", "cpu-used": "8"}),
        ("mpg", "mpeg2video", {"b": "20M", "qmin": "1", "qmax": "1", "g": "12", "bf": "2"}),
        ("mkv", "ffv1", {"g": "1"}),
    ],
)
def test_no_needed_packet_is_left_out(
    tmp_path: Path, decoder: str, suffix: str, codec: str, options: dict[str, str]
) -> None:
    base = Fraction(1, 25)
    path = tmp_path / f"clip.{suffix}"
    clip = write_numbered(path, STEADY, codec=codec, options=options, time_base=base)
    got = decoded(clip, decoder=decoder, window_ms=2000, frames_per_window=2)
    assert got.numbers == expected(STEADY, 2000, 2, 5480)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_last_window_takes_the_last_frame(tmp_path: Path, decoder: str) -> None:
    times = [Fraction(n, 10) for n in range(22)]  # until 2.2 s
    clip = write_numbered(tmp_path / "short.mp4", times)
    got = decoded(clip, decoder=decoder)
    assert got.numbers == [[5, 15], [21, 21]]
    assert got.spans[-1][0] == 2000


@pytest.mark.parametrize("decoder", DECODERS)
def test_sound_that_begins_first_makes_the_origin(tmp_path: Path, decoder: str) -> None:
    times = [Fraction(5, 2) + Fraction(n, 25) for n in range(50)]  # 2.5 s to 4.5 s
    clip = write_numbered(tmp_path / "late.mkv", times, sound=tone(5.0))
    got = decoded(clip, decoder=decoder)
    # Nothing is on screen in the first window; in the second the first frame stands for 2.5 s.
    assert got.numbers == [None, [0, 25], [49, 49]]
    assert [len(w.sound) for w in got.windows if w.sound is not None] == [32000, 32000, 16000]


@pytest.mark.parametrize("decoder", DECODERS)
def test_sound_that_goes_on_longer(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(tmp_path / "longer.mkv", STEADY[:50], sound=tone(7.0))
    got = decoded(clip, decoder=decoder)
    assert got.numbers == [[12, 37], None, None, None]
    assert got.spans[-1] == (6000, 7000)
    assert got.end.decoded_ms == 7000


@pytest.mark.parametrize("decoder", DECODERS)
def test_cut_at_the_longest_duration(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(tmp_path / "clip.mp4", STEADY)
    got = decoded(clip, decoder=decoder, max_duration_s=3)
    assert len(got.windows) == 2
    assert got.end.status is Status.PARTIAL
    assert "max_duration_s" in got.end.note


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_bare_stream_is_counted(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(tmp_path / "whole.mp4", STEADY[:75])
    run_ffmpeg("-i", clip, "-c", "copy", "-f", "h264", tmp_path / "bare.h264")
    got = decoded(tmp_path / "bare.h264", decoder=decoder)
    assert got.numbers == [[12, 37], [62, 74]]
    assert got.end.decoded_ms == 3000


def test_ticks_agree_with_the_grid() -> None:
    random = np.random.default_rng(7)
    for _ in range(300):
        grid = Grid(int(random.integers(100, 5000)), int(random.integers(1, 8)))
        base = Fraction(int(random.integers(1, 2000)), int(random.integers(1, 90001)))
        origin = Fraction(int(random.integers(-500, 500)), int(random.integers(1, 90001)))
        pts = int(random.integers(-10_000, 10_000_000))
        plain = grid.samples_before(pts * base - origin)
        assert Ticks.of(grid, base, origin).samples_before(pts) == plain
        assert plain == 0 or grid.sample_s(plain - 1) < pts * base - origin
        assert grid.sample_s(plain) >= pts * base - origin


def test_milliseconds_are_rounded() -> None:
    assert [milliseconds(Fraction(n, 10_000)) for n in (0, 4, 5, 14, 15)] == [0, 0, 1, 1, 2]
