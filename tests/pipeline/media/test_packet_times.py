"""Recordings put one behind the other, gaps of any length, and what is encrypted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.sandbox.client import ChildExit, decode_in_child
from pipeline.media.window import DecodeEnd
from pipeline.records import Status
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.clips import decoded, tone, write_numbered
from tests.pipeline.media.made_media import H264, PICTURE, SOUND
from tests.support.ffmpeg_program import run_ffmpeg

DECODERS = ["pyav", "ffmpeg"]
TIMES = [Fraction(n, 25) for n in range(100)]  # 4 s, two windows


def two_films(folder: Path, suffix: str, later_s: tuple[float, float] = (0, 0)) -> Path:
    """The same four seconds twice, as `cat` puts them together."""
    options = ["-c:v", "mpeg2video", "-q:v", "1", "-bf", "0"]
    write_numbered(folder / "one.mkv", TIMES, sound=tone(4.0))
    parts = []
    for number, later in enumerate(later_s):
        part = folder / f"{number}.{suffix}"
        run_ffmpeg("-i", folder / "one.mkv", *options, "-c:a", "mp2", "-output_ts_offset",
                   str(later), part)  # fmt: skip
        parts.append(part.read_bytes())
    (folder / f"both.{suffix}").write_bytes(b"".join(parts))
    return folder / f"both.{suffix}"


@pytest.mark.parametrize(
    ("suffix", "later_s"),
    [("ts", (0, 0)), ("ts", (1000, 0)), ("ts", (0, 50_000)), ("mpg", (0, 0))],
)
def test_the_second_film_follows_the_first(
    tmp_path: Path, suffix: str, later_s: tuple[float, float]
) -> None:
    got = decoded(two_films(tmp_path, suffix, later_s))
    seen = [n for pair in got.numbers[:4] for n in (pair or [])]
    # The sound begins a little earlier than the picture, and ends some frames later.
    assert np.abs(np.array(seen) - [12, 37, 62, 87] * 2).max() <= 2
    assert got.end.status is Status.INDEXED
    assert 8000 <= got.end.decoded_ms <= 8200


def chained_ogg(folder: Path) -> None:
    run_ffmpeg(*SOUND, "-c:a", "libvorbis", folder / "once.ogg")
    (folder / "twice.ogg").write_bytes((folder / "once.ogg").read_bytes() * 2)


def test_a_chained_ogg_is_heard_to_its_end(tmp_path: Path) -> None:
    chained_ogg(tmp_path)
    got = decoded(tmp_path / "twice.ogg")
    assert abs(got.end.decoded_ms - 6000) <= 50
    assert got.windows[2].sound is not None
    assert np.abs(got.windows[2].sound).max() > 1000


def test_the_ffmpeg_way_says_that_it_cannot(tmp_path: Path) -> None:
    chained_ogg(tmp_path)
    for path in (tmp_path / "twice.ogg", two_films(tmp_path, "ts")):
        with pytest.raises(MediaRejected, match="begin anew") as caught:
            decoded(path, decoder="ffmpeg")
        assert (caught.value.code, caught.value.remedy) == (
            "undecodable", "Set decode.decoder to auto."
        )  # fmt: skip


def test_a_long_gap_is_silence_and_costs_no_memory(tmp_path: Path) -> None:
    """Twenty minutes, in which the last frame stays on screen."""
    path = two_films(tmp_path, "ts", (0, 1200))
    exits: list[ChildExit] = []
    items = list(decode_in_child(path, DecodeSettings(), on_exit=exits.append))
    assert isinstance(items[-1], DecodeEnd)
    assert abs(items[-1].decoded_ms - 1_204_000) <= 200
    assert exits[0].peak_rss_bytes < 128 << 20
    got = decoded(path)
    loud = [n for n, w in enumerate(got.windows) if w.sound is not None and w.sound.any()]
    # A codec's padding and the start of its first frame reach over the edges.
    assert {0, 1, 600, 601} <= set(loud) <= {0, 1, 2, 599, 600, 601, 602}
    assert got.numbers[300] == [99, 99]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("what", [(*PICTURE, *H264), (*SOUND, "-c:a", "aac")])
def test_what_is_encrypted_is_rejected(tmp_path: Path, decoder: str, what: tuple[str, ...]) -> None:
    """Not decoded to noise: AAC gives a second of it before it fails."""
    key = "00112233445566778899aabbccddeeff"
    run_ffmpeg(*what, "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key,
               "-encryption_kid", key, tmp_path / "a.mp4")  # fmt: skip
    with pytest.raises(MediaRejected) as caught:
        decoded(tmp_path / "a.mp4", decoder=decoder)
    assert caught.value.code == "encrypted"


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
def test_an_animation_that_is_cut_short(tmp_path: Path, suffix: str) -> None:
    """What it announces counts: frames, or that there are more."""
    path = tmp_path / f"a.{suffix}"
    run_ffmpeg(*PICTURE, path)
    assert decoded(path).end.status is Status.INDEXED
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        end = decoded(path).end
    except MediaRejected as error:
        assert (suffix, error.code) == ("webp", "undecodable")  # noqa: PT017
    else:
        assert end.status is Status.PARTIAL
        assert f"picture ends at {end.decoded_ms} ms" in end.note
        assert "of 75 frames" in end.note or "truncated" in end.note
