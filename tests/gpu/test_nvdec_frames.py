"""NVDEC beside PyAV on the CPU: the same times, frames within a difference, in a confined child."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.embed.nvdec_proof import MAX_MEAN_DIFFERENCE, compared, nvdec_use, prove
from pipeline.media import nvdec
from pipeline.media.nvdec import CODECS, NvdecUse
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.settings_embedding import DecodeSettings
from tests.support import media_files


def test_there_is_a_device_to_try() -> None:
    """A container that has a GPU without the driver's `video` capability fails the tests below."""
    assert nvdec.is_there()


@pytest.mark.parametrize("codec", CODECS)
def test_the_proof_of_a_codec(codec: str) -> None:
    proof = prove(codec)
    assert proof.difference is not None, proof.why
    assert proof.difference <= MAX_MEAN_DIFFERENCE


@pytest.mark.parametrize("sampling", ["exact", "keyframes", "keyframes_only"])
def test_a_film_with_sound(tmp_path: Path, sampling: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(media_files.mp4(1, seconds=12))
    settings = DecodeSettings(sampling=sampling)  # type: ignore[arg-type]
    use = NvdecUse(("h264",), fall_back=False)
    both = [
        [w for w in decode_in_child(path, settings, nvdec=one) if isinstance(w, Window)]
        for one in (None, use)
    ]
    assert compared("h264", *both).holds
    assert [w.sound is None for w in both[0]] == [w.sound is None for w in both[1]]


def test_auto_takes_what_was_proved() -> None:
    assert nvdec_use(DecodeSettings()) == NvdecUse(tuple(CODECS), fall_back=True)
