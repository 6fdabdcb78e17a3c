"""The paper's applications: labels, a probe, arithmetic, and where in a picture something is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.applications.arithmetic import weighted_sum
from encoders.applications.few_shot import fit_probe
from encoders.applications.localise import draw, localise, similarity_map
from encoders.applications.zero_shot import embed_labels
from encoders.card import EncoderCard
from encoders.catalogue import CARDS
from encoders.errors import InputError
from encoders.imagebind.config import TINY
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.precision import TowerPrecision
from encoders.preprocess.image import normalize
from tests.encoders.standin import give_standin_weights
from tests.support import media_files

RNG = np.random.default_rng(0)


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    wide = np.asarray(rows, np.float64)
    return (wide / np.linalg.norm(wide, axis=-1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class WordList:
    """An encoder whose text vectors are known: a prompt points where the words in it point."""

    known: dict[str, NDArray[np.float32]]
    card: EncoderCard = CARDS["imagebind-demo"]
    precisions: tuple[TowerPrecision, ...] = ()

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        assert modality is Modality.TEXT
        hits = [[v for word, v in self.known.items() if word in text] for text in batch]
        return unit([np.sum(vectors, axis=0) for vectors in hits])


@pytest.fixture
def words() -> WordList:
    names = ("dog", "cat", "rain", "photo", "sound")
    return WordList(dict(zip(names, np.eye(5, 8, dtype=np.float32), strict=True)))


def test_labels_find_what_they_name(words: WordList) -> None:
    labels = embed_labels(words, ["dog", "cat", "rain"], ["{}", "a photo of a {}", "sound of {}"])
    assert labels.vectors.shape == (3, 8)
    assert np.allclose(np.linalg.norm(labels.vectors, axis=1), 1, atol=1e-6)
    # The mean of a label's prompts keeps what they share, and little of what each template adds.
    assert (labels.vectors[:, :3].argmax(1) == [0, 1, 2]).all()
    seen = unit([[3, 0, 0.3, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0]])
    scores = labels.scores(seen)
    assert np.allclose(scores.sum(1), 1, atol=1e-6)
    dog, both = labels.tags(seen, at_least=0.2)
    assert [tag.label for tag in dog] == ["dog"]
    assert dog[0].score > 0.99
    assert {tag.label for tag in both} == {"cat", "rain"}
    assert len(labels.tags(seen, at_least=0.2, most=1)[1]) == 1
    assert labels.tags(seen, at_least=1.0)[1] == ()
    flat = labels.scores(seen, scale=1e-6)
    assert np.allclose(flat, 1 / 3, atol=1e-4)


def test_labels_that_cannot_be(words: WordList) -> None:
    for names, templates in (([], ["{}"]), (["dog", "dog"], ["{}"]), (["dog"], ["a photo"])):
        with pytest.raises(InputError):
            embed_labels(words, names, templates)
    with pytest.raises(InputError, match="8 dimensions"):
        embed_labels(words, ["dog"], ["{}"]).scores(np.zeros((1, 9), np.float32))


def test_a_probe_learns_from_few_and_always_the_same() -> None:
    centres = unit(RNG.normal(size=(3, 32)))
    names = ["dog", "cat", "rain"]
    shots = unit(np.repeat(centres, 4, axis=0) + 0.1 * RNG.normal(size=(12, 32)))
    labels = [name for name in names for _ in range(4)]
    probe = fit_probe(shots, labels)
    assert probe.labels == ("cat", "dog", "rain")
    fresh = unit(np.repeat(centres, 50, axis=0) + 0.1 * RNG.normal(size=(150, 32)))
    truth = [name for name in names for _ in range(50)]
    right = np.mean([a == b for a, b in zip(probe.predict(fresh), truth, strict=True)])
    assert right >= 0.97
    order = RNG.permutation(12)
    again = fit_probe(shots[order], [labels[i] for i in order])
    assert np.allclose(again.weights, probe.weights, atol=1e-4)
    assert np.allclose(probe.scores(fresh).sum(1), 1, atol=1e-6)
    for vectors, bad in ((shots, labels[:3]), (shots, ["dog"] * 12), (shots * np.nan, labels)):
        with pytest.raises(InputError):
            fit_probe(vectors, bad)


def test_the_probe_is_at_its_optimum() -> None:
    """At the minimum the gradient vanishes: written out here, not taken from the code."""
    x, labels = unit(RNG.normal(size=(20, 6))), ["a", "b"] * 10
    probe = fit_probe(x, labels, penalty=0.01)
    truth = np.eye(2)[[probe.labels.index(label) for label in labels]]
    gradient = (probe.scores(x) - truth).T @ x / 20 + 0.01 * probe.weights
    assert np.abs(gradient).max() < 1e-5


def test_sums_of_vectors() -> None:
    dog, beach, night = np.eye(3, 5, dtype=np.float32)
    both = weighted_sum([(dog, 1), (beach, 1)])
    assert np.allclose(both, [0.5**0.5, 0.5**0.5, 0, 0, 0], atol=1e-6)
    without = weighted_sum([(unit(dog + night), 1), (night, -(0.5**0.5))])
    assert np.allclose(without, dog, atol=1e-6)
    for terms in ([], [(dog, 1), (dog, -1)], [(dog, 1), (np.ones(4, np.float32), 1)]):
        with pytest.raises(InputError):
            weighted_sum(terms)  # type: ignore[arg-type]


def test_where_in_a_picture() -> None:
    """A patch's own vector finds that patch; the drawing is hot there and keeps the rest."""
    model = ImageBind(TINY)
    give_standin_weights(model)
    model = model.eval().requires_grad_(False)
    picture = Image.fromarray(media_files.picture_array(3, (224, 224)))
    crop = np.asarray(picture)
    pixels = normalize(torch.from_numpy(crop.copy())[None, None], torch.float32)
    with torch.inference_mode():
        patches = model.patches(pixels)
        assert patches.shape == (1, 256, TINY.dimension)
        # The class token's row of the same trunk is the picture's own vector.
        assert torch.allclose(patches.norm(dim=-1), torch.ones(1, 256), atol=1e-5)
    row, column = 5, 11
    query = patches[0, 16 * row + column].numpy()
    found = similarity_map(model, pixels, query)[0]
    assert found.shape == (16, 16)
    assert np.unravel_index(found.argmax(), found.shape) == (row, column)
    assert found.max() == pytest.approx(1, abs=1e-5)
    drawn = np.asarray(localise(model, picture, query), np.int64)
    assert drawn.shape == (224, 224, 3)
    cold = np.unravel_index(found.argmin(), found.shape)
    warmth = (drawn - crop)[..., 0] - (drawn - crop)[..., 2]
    at = {
        spot: warmth[14 * spot[0] : 14 * spot[0] + 14, 14 * spot[1] : 14 * spot[1] + 14].mean()
        for spot in ((row, column), (int(cold[0]), int(cold[1])))
    }
    assert at[row, column] > at[int(cold[0]), int(cold[1])]
    with pytest.raises(InputError):
        similarity_map(model, pixels, query[:5])
    assert draw(crop, np.zeros((16, 16), np.float32)).size == (224, 224)  # a flat map is no error


def test_patches_of_the_whole_trunk_agree_with_the_pooled_one() -> None:
    model = ImageBind(TINY.only((Modality.VISION,)))
    give_standin_weights(model)
    model = model.eval().requires_grad_(False)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens = model.modality_preprocessors["vision"](pixels)
        every = model.modality_heads["vision"](model.modality_trunks["vision"](tokens, None))
        assert torch.allclose(every[:, 0], model.tower(Modality.VISION, pixels), atol=1e-4)


def test_cards_are_complete() -> None:
    for card in CARDS.values():
        assert card.licence
        assert card.paper
        assert card.source
        assert card.needs or card.shipped or card.weights_digest.startswith("seed:")
