"""Key frames stand for their windows: which are taken, and that no more is decoded for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import pytest

from pipeline.media.grid import Grid
from pipeline.media.probe import probe
from pipeline.media.pyav_picture import PyavPicture
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.clips import decoded, on_screen, tone, write_numbered

STEADY = [Fraction(n, 25) for n in range(300)]  # 12 s
LATE = [Fraction(3, 2) + at for at in STEADY]
UNEVEN = [Fraction(ms, 1000) for ms in range(0, 9000, 40) if not 2500 < ms < 6300]
SLOW = [Fraction(7 * n, 2) for n in range(9)]  # a frame holds for more than a window
Sampling = Literal["keyframes", "keyframes_only"]
CLOSED = {"crf": "4", "sc_threshold": "0", "bf": "3"}


def key_frames(path: Path, times: Sequence[Fraction]) -> list[int]:
    """Numbers of the frames that a decoder can begin with."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
        begin = min(p.pts * p.time_base for p in packets) - times[0]
        stamps = [p.pts * p.time_base - begin for p in packets if p.is_keyframe]
    return [min(range(len(times)), key=lambda n: abs(times[n] - stamp)) for stamp in stamps]


def expected(
    times: Sequence[Fraction], keys: Sequence[int], windows: int, grid: Grid, *, only: bool
) -> list[list[int]]:
    """The rule, said plainly."""
    length_s = Fraction(grid.window_ms, 1000)
    found = []
    for window in range(windows):
        inside = [k for k in keys if window * length_s <= times[k] < (window + 1) * length_s]
        numbers = []
        for n in range(grid.frames_per_window):
            at_s = grid.sample_s(window * grid.frames_per_window + n)
            if inside:
                numbers.append(inside[max(0, bisect_right([times[k] for k in inside], at_s) - 1)])
            elif only:
                numbers.append(max((k for k in keys if times[k] <= at_s), default=keys[0]))
            else:
                numbers.append(on_screen(times, at_s))
        found.append(numbers)
    return found


@pytest.mark.parametrize("sampling", ["keyframes", "keyframes_only"])
@pytest.mark.parametrize(
    ("suffix", "codec", "options", "times"),
    [
        ("mp4", "libx264", CLOSED | {"g": "50"}, STEADY),
        ("mp4", "libx264", CLOSED | {"g": "120"}, STEADY),
        ("mp4", "libx264", CLOSED | {"g": "13"}, STEADY),
        ("mp4", "libx264", CLOSED | {"g": "1"}, STEADY),
        ("ts", "libx264", CLOSED | {"g": "250", "b-pyramid": "strict"}, STEADY),
        ("mkv", "libx264", CLOSED | {"g": "30"}, LATE),
        ("mkv", "libx264", CLOSED | {"g": "60"}, UNEVEN),
        ("mp4", "libx264", CLOSED | {"g": "3"}, SLOW),
        ("mkv", "libvpx-vp9", {"crf": "8", "b": "0", "g": "70"}, STEADY),
        ("mp4", "libx265", {"crf": "4", "g": "40", "x265-params": "log-level=none:open-gop=0"},
         STEADY),
        ("avi", "mpeg4", {"b": "20000000", "qmin": "1", "g": "33", "bf": "0"}, STEADY),
        ("mov", "mjpeg", {"q": "2", "strict": "unofficial"}, STEADY),
    ],
)  # fmt: skip
def test_key_frames_stand_for_their_windows(
    tmp_path: Path,
    sampling: Sampling,
    suffix: str,
    codec: str,
    options: dict[str, str],
    times: list[Fraction],
) -> None:
    path = tmp_path / f"clip.{suffix}"
    # With sound from 0, the origin of the time line is 0 where the picture begins late.
    clip = write_numbered(
        path, times, codec=codec, options=options, time_base=Fraction(1, 1000)
        if suffix == "mkv" else Fraction(1, 12800) if suffix != "avi" else Fraction(1, 25),
        sound=tone(float(times[-1]) + 0.04) if times is LATE else None,
    )  # fmt: skip
    keys = key_frames(clip, times)
    assert keys
    for window_ms, count in ((2000, 2), (1500, 3), (700, 1)):
        got = decoded(clip, sampling=sampling, window_ms=window_ms, frames_per_window=count)
        exact = decoded(clip, window_ms=window_ms, frames_per_window=count)
        assert got.spans == exact.spans
        assert got.end.decoded_ms == exact.end.decoded_ms
        wanted = expected(
            times, keys, len(got.windows), Grid(window_ms, count), only=sampling == "keyframes_only"
        )
        for numbers, want, of_exact in zip(got.numbers, wanted, exact.numbers, strict=True):
            assert (numbers is None) == (of_exact is None)
            assert numbers is None or numbers == want


@pytest.mark.parametrize(("gop", "most"), [(50, 6), (300, 1)])
def test_only_key_frames_are_decoded(tmp_path: Path, gop: int, most: int) -> None:
    options = CLOSED | {"g": str(gop)}
    clip = write_numbered(tmp_path / "clip.mp4", STEADY, options=options)
    settings = DecodeSettings(sampling="keyframes_only")
    probed = probe(clip, settings)
    assert probed.picture is not None
    picture = PyavPicture(clip, probed.picture, probed.origin_s, settings)
    assert len(list(picture)) == 12
    assert picture.decoded_frames == most
    assert not picture.is_single


def test_a_window_without_one_is_sampled_exactly(tmp_path: Path) -> None:
    clip = write_numbered(tmp_path / "clip.mp4", STEADY, options=CLOSED | {"g": "300"})
    first, *rest = decoded(clip, sampling="keyframes").numbers
    assert first == [0, 0]
    assert rest == decoded(clip).numbers[1:]


def test_where_no_key_frame_can_be_told_all_is_exact(tmp_path: Path) -> None:
    """Old codecs' key frames are not all points to begin at."""
    clip = write_numbered(
        tmp_path / "clip.avi", STEADY, codec="msmpeg4", options={"q": "2", "g": "25"},
        time_base=Fraction(1, 25),
    )  # fmt: skip
    assert decoded(clip, sampling="keyframes").numbers == decoded(clip).numbers
