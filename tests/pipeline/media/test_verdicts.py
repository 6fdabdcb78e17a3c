"""What is indexed, partial and rejected, and with which code; see docs/media.md."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.errors import MediaRejected
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import DecodeEnd
from pipeline.records import MediaInfo, Status
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.clips import decoded, tone, write_numbered

DECODERS = ["pyav", "ffmpeg"]

CORPUS = {
    "tc__nasa_13013.mp4": "indexed",
    "tc__av1_video.mkv": "indexed",
    "tc__h264_10bits.mp4": "indexed",
    "tc__nasa_13013.mp4.audio.mp3": "indexed",
    "tc__sine_mono_s32_8000.wav": "indexed",
    "tc__sine_mono_s16.wav": "indexed",
    "sm__Mpeg4.mp4": "no_streams",
    "sm__mp4-with-audio.mp4": "too_short",
    "sm__webm.webm": "indexed",
    "sm__mp3.mp3": "undecodable",
    "sm__gif.gif": "empty_stream",
    "sm__png-truncated.png": "indexed",
    "sm__webp.webp": "undecodable",
    "mut__emptyfile.mp3": "empty_object",
    "mut__truncated-64bit.mp4": "undecodable",
    "mut__ooming-header.flac": "undecodable",
    "mut__too-short.mp3": "undecodable",
    "mut__silence-44-s.flac": "indexed",
    "mut__sample.oggtheora": "indexed",
    "m4p__bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": "indexed",
    "m4p__minimal.mp4": "indexed",
    "m4p__invalid_userdata.mp4": "empty_stream",
    "m4p__amr_nb_1f.3gp": "too_short",
    "m4p__bug-1661347.avif": "undecodable",
    "m4p__video_rotation_90.mp4": "indexed",
    "m4p__chunk_out_of_range.mp4": "undecodable",
    "pil__decompression_bomb.gif": "too_many_pixels",
    "pil__pil_sample_cmyk.jpg": "indexed",
    "pil__tiff_16bit_RGBa.tiff": "indexed",
    "pil__hopper_orientation_6.jpg": "indexed",
    "pil__transparent.gif": "indexed",
}


@pytest.mark.slow("31 media, six times over: 7 s")
@pytest.mark.parametrize("time", [1, 2, 3])
@pytest.mark.parametrize("decoder", DECODERS)
def test_corpus(shared_dir: Path | None, decoder: str, time: int) -> None:  # noqa: ARG001
    if shared_dir is None:
        pytest.skip("no corpus beside the checkout")
    folder = shared_dir / "media" / "corpus"
    with (folder / "INDEX.tsv").open() as file:
        listed = {row["file"] for row in csv.DictReader(file, delimiter="\t")}
    assert listed == set(CORPUS)
    got, infos = {}, {}
    peak = 0
    for name in sorted(listed):
        exits = []
        settings = DecodeSettings(decoder=decoder)  # type: ignore[arg-type]
        try:
            items = list(decode_in_child(folder / name, settings, on_exit=exits.append))
            infos[name] = items[0]
            assert isinstance(items[-1], DecodeEnd)
            got[name] = str(items[-1].status)
            assert items[-1].silent == (name == "mut__silence-44-s.flac")
        except MediaRejected as error:
            got[name] = error.code
            peak = max(peak, exits[0].peak_rss_bytes)
        assert exits[0].signal_number == 0
    assert got == CORPUS
    # A server with everything imported has 45 MB; none of the attacks adds 64 MB to that.
    assert peak < 128 << 20
    turned = infos["m4p__video_rotation_90.mp4"]
    assert isinstance(turned, MediaInfo)
    assert (turned.width, turned.height) == (60, 100)


@pytest.mark.parametrize("decoder", DECODERS)
def test_truncated_video_is_partial(tmp_path: Path, decoder: str) -> None:
    times = [Fraction(n, 25) for n in range(250)]
    clip = write_numbered(tmp_path / "whole.mkv", times, sound=tone(10.0))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    got = decoded(clip, decoder=decoder)
    assert got.end.status is Status.PARTIAL
    assert "declared" in got.end.note
    assert 2 <= len(got.windows) <= 4
    numbers = [n for n in got.numbers if n is not None]
    assert numbers[0] == [12, 37]


def test_mp4_without_its_index_is_rejected(tmp_path: Path) -> None:
    clip = write_numbered(tmp_path / "whole.mp4", [Fraction(n, 25) for n in range(100)])
    data = clip.read_bytes()
    clip.write_bytes(data[: data.find(b"moov") - 4])
    assert _code(clip) in ("undecodable", "no_streams")


def test_too_many_streams(tmp_path: Path) -> None:
    clip = write_numbered(tmp_path / "two.mkv", [Fraction(n, 25) for n in range(50)], sound=tone(2))
    assert _code(clip, max_streams=1) == "too_many_streams"


@pytest.mark.parametrize("decoder", DECODERS)
def test_too_many_pixels(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(tmp_path / "large.mp4", [Fraction(0)], size=(640, 360))
    assert _code(clip, max_pixels=200_000, decoder=decoder) == "too_many_pixels"


def test_a_missing_file_is_no_verdict_on_media(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoded(tmp_path / "nothing.mp4")
    with pytest.raises(FileNotFoundError):
        list(decode_in_child(tmp_path / "nothing.mp4", DecodeSettings()))


@pytest.mark.parametrize(
    "name", ["a b+c%20.mp4", "käse 🐕.mp4", "new\nline.mp4", "%d.mp4", "a:b.mp4"]
)
@pytest.mark.parametrize("decoder", DECODERS)
def test_names_are_taken_as_they_are(tmp_path: Path, name: str, decoder: str) -> None:
    clip = write_numbered(tmp_path / "plain.mp4", [Fraction(n, 25) for n in range(50)])
    clip.rename(tmp_path / name)
    assert decoded(tmp_path / name, decoder=decoder).numbers == [[12, 37]]


def _code(path: Path, **options: object) -> str:
    with pytest.raises(MediaRejected) as caught:
        decoded(path, **options)
    return caught.value.code
