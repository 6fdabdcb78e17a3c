"""Parts of binding by pairs: the loss and the recall beside plain arithmetic; what is varied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.bind import augment
from encoders.bind.augment import Augmentation
from encoders.bind.loss import info_nce
from encoders.bind.recall import recalls
from encoders.errors import InputError
from tests.support import media_files


def test_the_loss_is_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(5, 8, generator=generator)) for _ in "ab")
    logits = (10 * a @ b.T).numpy().astype(np.float64)
    both = [
        -np.log(np.exp(logits[i, i]) / np.exp(line).sum())
        for i in range(5)
        for line in (logits[i], logits[:, i])
    ]
    assert float(info_nce(a, b, 10.0, torch.arange(5))) == pytest.approx(np.mean(both), rel=1e-5)
    # Rows 0 and 1 show the same thing: neither counts as the other's wrong answer.
    same = torch.tensor([0, 0, 2, 3, 4])
    logits[0, 1] = logits[1, 0] = -np.inf
    both = [
        -np.log(np.exp(logits[i, i]) / np.exp(line).sum())
        for i in range(5)
        for line in (logits[i], logits[:, i])
    ]
    assert float(info_nce(a, b, 10.0, same)) == pytest.approx(np.mean(both), rel=1e-5)
    with pytest.raises(InputError):
        info_nce(a, b[:4], 10.0, same)


def test_recall_is_counted_by_hand() -> None:
    answers = np.eye(4, dtype=np.float32)
    queries = np.array(
        [[1, 0, 0, 0], [0.6, 0.8, 0, 0], [0.8, 0, 0.6, 0], [0.5, 0.5, 0.5, 0.5]], np.float32
    )
    one, two, four = recalls(queries, answers, [0, 1, 2, 3], [0, 1, 2, 3], (1, 2, 4))
    assert one.share == 0.5, "the third is second, and a tie counts against the fourth"
    assert two.share == 0.75
    assert four.share == 1
    assert (one.chance, two.chance, four.chance) == (0.25, 0.5, 1.0)
    # Wilson's interval for 2 of 4, from the textbook's formula.
    assert (one.low, one.high) == (
        pytest.approx(0.15004, abs=1e-4),
        pytest.approx(0.84996, abs=1e-4),
    )
    several = recalls(queries[:1], answers, [7], [7, 7, 1, 2], (1,))[0]
    assert (several.share, several.chance) == (1.0, 0.5)
    with pytest.raises(InputError, match="no right answer"):
        recalls(queries[:1], answers, [9], [0, 1, 2, 3])


def test_what_is_varied_and_what_is_not() -> None:
    cut_out = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    cut_out.paste((255, 0, 0, 255), (10, 5, 30, 15))
    some = [
        augment.picture(cut_out, 32, Augmentation(), np.random.default_rng(n)) for n in range(9)
    ]
    assert {picture.size for picture in some} == {(32, 32)}
    assert len({picture.tobytes() for picture in some}) == 9
    again = augment.picture(cut_out, 32, Augmentation(), np.random.default_rng(4))
    assert again.tobytes() == some[4].tobytes(), "a seed gives the same picture"

    sound = media_files.sound_array(0, 3.0)
    piece = augment.sound(sound, 32_000, Augmentation(), np.random.default_rng(0))
    assert (piece.shape, piece.dtype) == ((32_000,), np.int16)
    short = augment.sound(sound[:1000], 32_000, Augmentation(), np.random.default_rng(0))
    assert short.shape == (32_000,)

    mels = torch.randn(4, 1, 128, 204, generator=torch.Generator().manual_seed(0))
    blanked = augment.masked(mels, Augmentation(mask_share=0.3), np.random.default_rng(1))
    changed = (blanked != mels).float().mean()
    assert 0 < float(changed) < 0.6
    assert torch.equal(
        mels, torch.randn(4, 1, 128, 204, generator=torch.Generator().manual_seed(0))
    )

    how = Augmentation(drop_words=0.5)
    said = {augment.words("A red bird.", ("{}",), how, np.random.default_rng(n)) for n in range(50)}
    assert said <= {"A red bird", "A", "A red", "A bird"}
    assert len(said) == 4
    templates = ("my {noun}",)
    said = {
        augment.words("A red bird.", templates, how, np.random.default_rng(n)) for n in range(9)
    }
    assert said <= {"my red bird", "my red", "my bird", "my A"}
