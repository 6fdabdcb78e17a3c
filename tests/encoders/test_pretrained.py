"""Encoders of the transformers library: from a folder, beside what the library itself computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from encoders.catalogue import card_for
from encoders.errors import InputError, WeightsError
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.protocol import Encoder
from tests.encoders.small_models import clip_folder, pe_av_folder
from tests.support import media_files

TEXTS = ["a dog barks", "two people on the beach at night", "a cat"]
WINDOWS = np.stack([media_files.picture_array(n, (224, 224))[None].repeat(2, 0) for n in range(3)])
SOUNDS = np.stack([media_files.sound_array(n, 2.0) for n in range(3)])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            place = tmp_path_factory.mktemp(kind)
            made[kind] = pe_av_folder(place) if kind == "pe-av" else clip_folder(place, kind)
        return made[kind]

    return folder


PE_AV = pytest.param("pe-av", marks=pytest.mark.slow("eight seconds, most of this file"))


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", PE_AV])
def test_one_protocol_for_all(folders: Callable[[str], Path], kind: str) -> None:
    name = "pe-av" if kind == "pe-av" else "clip"
    encoder = load_encoder(name, folders(kind), device="cpu", precision="fp32")
    card = encoder.card
    inputs: dict[Modality, Any] = {Modality.VISION: WINDOWS, Modality.TEXT: TEXTS}
    if kind == "pe-av":
        inputs[Modality.AUDIO] = SOUNDS
    assert set(card.modalities) == set(inputs)
    for modality, batch in inputs.items():
        rows = encoder.encode(modality, batch)
        assert rows.shape == (3, card.dimension)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        alone = [encoder.encode(modality, batch[i : i + 1]) for i in (2, 0, 1)]
        assert np.allclose(np.concatenate(alone), rows[[2, 0, 1]], atol=1e-5), modality
        assert encoder.encode(modality, batch[:0]).shape == (0, card.dimension)
        assert np.abs(rows[0] - rows[1]).max() > 1e-4  # it does look at what it is given
    refused(encoder)


def refused(encoder: Encoder) -> None:
    for modality, batch in (
        (Modality.VISION, WINDOWS[0]),
        (Modality.VISION, WINDOWS.astype(np.float32)),
        (Modality.TEXT, ["a dog", "  "]),
        (Modality.TEXT, [3]),
        (Modality.DEPTH, WINDOWS),
    ):
        with pytest.raises(InputError):
            encoder.encode(modality, batch)  # type: ignore[arg-type]


def test_clip_is_what_the_library_computes(folders: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer, CLIPModel

    folder = folders("clip")
    encoder = load_encoder("clip", folder, device="cpu", precision="fp32")
    assert encoder.card.dimension == 24
    assert encoder.card.image_size == 64
    model: Any = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
    still = WINDOWS[:, :1]
    pixels = (torch.from_numpy(still[:, 0]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    pixels = F.interpolate(pixels, size=(64, 64), mode="bicubic", antialias=True)
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        whole = model(pixel_values=pixels, **tokens)
    assert np.allclose(encoder.encode(Modality.VISION, still), whole.image_embeds, atol=1e-5)
    assert np.allclose(encoder.encode(Modality.TEXT, TEXTS), whole.text_embeds, atol=1e-5)


@pytest.mark.slow("two networks with six towers, 4 s")
def test_pe_av_is_what_the_library_computes(folders: Callable[[str], Path]) -> None:
    from transformers import PeAudioVideoModel

    folder = folders("pe-av")
    encoder = load_encoder("pe-av", folder, device="cpu", precision="fp32")
    model: Any = PeAudioVideoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        from torchaudio.functional import resample

        sound = resample(torch.from_numpy(SOUNDS).float() / 32768, 16_000, 48_000)
        wanted = F.normalize(model.get_audio_embeds(sound[:, None]), dim=-1)
    assert np.allclose(encoder.encode(Modality.AUDIO, SOUNDS), wanted, atol=1e-5)


def test_the_digest_is_of_all_that_matters(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders("clip")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert card_for("clip", copy).fingerprint() == card_for("clip", folder).fingerprint()
    (copy / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    assert card_for("clip", copy).fingerprint() != card_for("clip", folder).fingerprint()


def test_what_is_wrong_with_a_folder_is_named(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="no folder"):
        load_encoder("clip", tmp_path / "nowhere", precision="fp32")
    with pytest.raises(WeightsError, match="pe_audio_video"):
        load_encoder("clip", folders("pe-av"), precision="fp32")
    with pytest.raises(WeightsError, match="int8"):
        load_encoder("clip", folders("clip"), device="cpu", precision="int8")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folders("clip").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="broken"):
        load_encoder("clip", broken, device="cpu", precision="fp32")
    (broken / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_encoder("clip", broken, device="cpu", precision="fp32")
