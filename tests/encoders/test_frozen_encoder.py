"""Frozen in Time behind the protocol: windows and words in, from a published kind of checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.errors import InputError, WeightsError
from encoders.frozen_in_time.config import BASE, TINY
from encoders.frozen_in_time.encode import FrozenInTimeEncoder
from encoders.frozen_in_time.load import read_vocabulary
from encoders.frozen_in_time.model import FrozenInTime
from encoders.loading import check_weights, load_encoder
from encoders.modality import Modality
from encoders.seeded import seeded_state_dict
from tests.encoders.small_models import bert_vocabulary, frozen_in_time
from tests.support import media_files

TEXTS = ["A dog barks!", "two people on a beach", "a dog"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> FrozenInTimeEncoder:
    return frozen_in_time(tmp_path_factory.mktemp("words"), torch.float32)


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_windows_in_unit_vectors_out(tiny: FrozenInTimeEncoder, frames: int) -> None:
    windows = np.stack(
        [
            np.stack([media_files.picture_array(10 * n + f, (224, 224)) for f in range(frames)])
            for n in range(3)
        ]
    )
    rows = tiny.encode(Modality.VISION, windows)
    assert rows.shape == (3, TINY.dimension)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    alone = np.concatenate([tiny.encode(Modality.VISION, windows[i : i + 1]) for i in range(3)])
    assert np.allclose(alone, rows, atol=1e-5)


def test_words_are_cut_as_bert_does(tiny: FrozenInTimeEncoder, tmp_path: Path) -> None:
    from transformers import BertTokenizer

    path = bert_vocabulary(tmp_path)
    theirs = BertTokenizer(str(path))(TEXTS, padding=True, return_tensors="pt")
    mine = read_vocabulary(path, 30_522)
    mine.enable_padding()
    assert [one.ids for one in mine.encode_batch(TEXTS)] == theirs["input_ids"].tolist()
    rows = tiny.encode(Modality.TEXT, TEXTS)
    assert np.allclose(tiny.encode(Modality.TEXT, TEXTS[2:])[0], rows[2], atol=1e-5)
    assert tiny.encode(Modality.TEXT, ["dog " * 500]).shape == (1, TINY.dimension)


def test_bad_input_is_named(tiny: FrozenInTimeEncoder) -> None:
    five = np.zeros((1, 5, 224, 224, 3), np.uint8)
    for modality, batch in (
        (Modality.VISION, five),
        (Modality.TEXT, [" "]),
        (Modality.AUDIO, np.zeros((1, 16_000), np.int16)),
    ):
        with pytest.raises(InputError):
            tiny.encode(modality, batch)  # type: ignore[arg-type]


@pytest.mark.slow("a network of the published size, 11 s")
def test_a_published_kind_of_checkpoint_by_its_name(tmp_path: Path) -> None:
    state = seeded_state_dict(FrozenInTime(BASE), 0)
    weights = tmp_path / "4f.pth.tar"
    halves = {f"module.{name}": tensor.bfloat16() for name, tensor in state.items()}
    halves["module.text_model.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save({"epoch": 1, "state_dict": halves}, weights)
    with pytest.raises(WeightsError, match=r"vocab\.txt"):
        check_weights("frozen-in-time", weights)
    bert_vocabulary(tmp_path)
    check_weights("frozen-in-time", weights)
    encoder = load_encoder("frozen-in-time", weights, device="cpu", precision="fp32")
    rows = encoder.encode(Modality.TEXT, TEXTS)
    assert rows.shape == (3, 256)
    window = media_files.picture_array(1, (224, 224))[None, None]
    assert encoder.encode(Modality.VISION, window).shape == (1, 256)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(WeightsError, match="30522"):
        load_encoder("frozen-in-time", weights, device="cpu", precision="fp32")
