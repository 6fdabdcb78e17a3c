"""Of a film in parts, the same comes out as of all of it; or it is said that more is needed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.byte_ranges import ByteRanges, NotFetchedError
from pipeline.media.mp4_index import FilmIndex, read_index
from pipeline.media.needed_bytes import needed_bytes
from pipeline.media.sandbox.client import decode_in_child
from pipeline.settings_embedding import DecodeSettings
from tests.support.ffmpeg_program import run_ffmpeg
from tests.support.sparse_films import comparable, write_film

Sampling = Literal["keyframes", "keyframes_only"]
Films = Callable[[str], Path]
SHAPES = {
    "front.mp4": ("-c", "copy", "-movflags", "+faststart"),
    "end.mov": ("-c", "copy"),
    "fragments.mp4": ("-c", "copy", "-movflags", "+frag_keyframe+empty_moov"),
    "begins late.mp4": ("-ss", "3.1", "-c", "copy"),
    "sound.mp4": ("-f", "lavfi", "-i", "sine=440:d=12", "-c:v", "copy", "-c:a", "aac"),
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """By its name in SHAPES, or `hevc.mp4`, or `sparse keys.mp4`, one in every third window."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "made.mp4")

    def made(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        if name == "hevc.mp4":
            write_film(path, "-tag:v", "hvc1", codec="libx265")
        elif name == "sparse keys.mp4":
            write_film(path, "-g", 180, "-keyint_min", 180)
        else:
            before = SHAPES[name][:2] if name.startswith("begins") else ()
            run_ffmpeg(*before, "-i", folder / "made.mp4", *SHAPES[name][len(before) :], path)
        return path

    return made


def index_of(data: bytes) -> FilmIndex | None:
    return read_index(lambda start, stop: data[start:stop], len(data))


def needed(path: Path, settings: DecodeSettings) -> ByteRanges | None:
    data = path.read_bytes()
    index = index_of(data)
    return None if index is None else needed_bytes(index, len(data), settings)


def with_holes(path: Path, ranges: ByteRanges, to: Path) -> Path:
    data = path.read_bytes()
    with to.open("wb") as file:
        file.truncate(len(data))
        for start, stop in ranges:
            file.seek(start)
            file.write(data[start:stop])
    return to


@pytest.mark.parametrize("sampling", ["keyframes", "keyframes_only"])
@pytest.mark.parametrize(
    "name",
    [
        "front.mp4",
        "end.mov",
        "begins late.mp4",
        pytest.param("hevc.mp4", marks=pytest.mark.slow("libx265 writes the film in 10 s")),
    ],
)
def test_parts_give_what_the_whole_gives(
    film: Films, tmp_path: Path, name: str, sampling: Sampling
) -> None:
    settings, path = DecodeSettings(sampling=sampling), film(name)
    ranges = needed(path, settings)
    if ranges is None:
        assert (name, sampling) == ("begins late.mp4", "keyframes")
        return
    assert ranges.size_bytes < 0.5 * path.stat().st_size
    sparse = with_holes(path, ranges, tmp_path / "sparse")
    ours = comparable(decode_in_child(sparse, settings, fetched=ranges))
    assert ours == comparable(decode_in_child(path, settings))
    assert len(ours) > 5


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("fragments.mp4", "keyframes_only"),
        ("sound.mp4", "keyframes_only"),  # between each two frames
        ("sparse keys.mp4", "keyframes"),  # two windows of three are sampled exactly
    ],
)
def test_a_film_of_which_most_is_needed_is_not_taken_apart(
    film: Films, name: str, sampling: Sampling
) -> None:
    assert needed(film(name), DecodeSettings(sampling=sampling)) is None


@pytest.mark.parametrize("lacks", ["a key frame", "sound"])
def test_what_is_not_there_is_never_decoded(film: Films, tmp_path: Path, lacks: str) -> None:
    path = film("front.mp4" if lacks == "a key frame" else "sound.mp4")
    settings = DecodeSettings(sampling="keyframes_only")
    index = index_of(path.read_bytes())
    assert index is not None
    track = index.tracks[0 if lacks == "a key frame" else 1]
    middle = int(np.flatnonzero(track.is_key)[-2])
    begin = int(track.offsets[middle])
    gone = ByteRanges([(begin, begin + int(track.sizes[middle]))])
    there = ByteRanges([(0, path.stat().st_size)]).minus(gone)
    items = decode_in_child(with_holes(path, there, tmp_path / "f"), settings, fetched=there)
    given = []
    with pytest.raises(NotFetchedError):
        given.extend(comparable([item]) for item in items)
    assert given  # what came before it


def test_windows_without_a_key_frame_ask_for_more(film: Films, tmp_path: Path) -> None:
    path = film("sparse keys.mp4")
    ranges = needed(path, DecodeSettings(sampling="keyframes_only"))
    assert ranges is not None
    sparse = with_holes(path, ranges, tmp_path / "f")
    with pytest.raises(NotFetchedError):
        list(decode_in_child(sparse, DecodeSettings(sampling="keyframes"), fetched=ranges))
    with pytest.raises(NotFetchedError):  # the ffmpeg program reads all of it
        list(decode_in_child(sparse, DecodeSettings(decoder="ffmpeg"), fetched=ranges))


@pytest.mark.slow("reads 150 broken indexes")
def test_a_broken_index_is_none_or_stays_in_the_film(film: Films) -> None:
    """Whatever is written in it: no error, no range outside, and no memory for what it claims."""
    data = film("front.mp4").read_bytes()
    moov = data.index(b"moov")
    (length,) = struct.unpack_from(">I", data, moov - 4)
    settings = DecodeSettings(sampling="keyframes")
    random = np.random.default_rng(0)
    understood = 0
    for number in range(150):
        head = bytearray(data[: moov - 4 + length])
        for at in random.integers(moov, len(head) - 4, 1 + number % 4):
            value = int(random.choice([0, 1, 2**31, 2**32 - 1, int(random.integers(2**32))]))
            struct.pack_into(">I", head, int(at) & ~3 if number % 2 else int(at), value)
        whole = bytes(head) + data[len(head) :] if number % 3 else bytes(head)
        index = index_of(whole)
        if index is None:
            continue
        understood += 1
        ranges = needed_bytes(index, len(whole), settings)
        assert ranges is None or ByteRanges([(0, len(whole))]).contain(
            min(start for start, _ in ranges), max(stop for _, stop in ranges)
        )
    assert 0 < understood < 150


@pytest.mark.parametrize("cut", [0, 7, 40, 3000])
def test_what_ends_early_is_fetched_whole(film: Films, cut: int) -> None:
    assert index_of(film("front.mp4").read_bytes()[:cut]) is None


@pytest.mark.parametrize("sampling", ["keyframes", "keyframes_only"])
def test_an_index_that_leaves_key_frames_out_is_believed(
    film: Films, tmp_path: Path, sampling: Sampling
) -> None:
    """By the whole film as by its parts, though FFmpeg finds them in what their packets hold."""
    data = bytearray(film("front.mp4").read_bytes())
    at = data.index(b"stss") + 8
    struct.pack_into(">III", data, at, 2, 1, 181)
    path = tmp_path / "lying.mp4"
    path.write_bytes(data)
    settings = DecodeSettings(sampling=sampling)
    whole = comparable(decode_in_child(path, settings))
    ranges = needed(path, settings)
    if sampling == "keyframes":
        assert ranges is None
        return
    assert ranges is not None
    sparse = with_holes(path, ranges, tmp_path / "f")
    assert comparable(decode_in_child(sparse, settings, fetched=ranges)) == whole
    assert whole != comparable(decode_in_child(film("front.mp4"), settings))
