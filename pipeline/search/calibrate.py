"""Measures how cosines of a collection are spread, per pair of modalities, and keeps it with the
collection (`calibration.py` reads it).

Asked are a list of words of everyday things, by the encoder's own text tower, and stored vectors of
the collection's other modalities; against a sample of the stored vectors of each name. What a
cosine is worth in the collection follows: the share of it that scores lower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from encoders.card import EncoderCard
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline import codec
from pipeline.index.vector_index import VectorIndex
from pipeline.models.spaces import load_chosen, spaces_of
from pipeline.records import VectorSpace
from pipeline.search.calibration import (
    FORMAT,
    KEPT_AS,
    LEVELS,
    Calibration,
    PairScale,
    kept_calibration,
)
from pipeline.settings import Settings

QUESTIONS = 100  # of each modality
CHANGED_BY = 0.2  # share of the segments by which a collection differs before it is measured again
FEWEST = 20  # vectors of a name, below which nothing can be said of one in a hundred
FIRST = "00000000-0000-0000-0000-000000000000"
_NORMAL = NormalDist()

_EVERYDAY = """
a dog, a cat, a horse, a cow, a sheep, a bird, a fish, an insect, a snake, a bear, a lion,
an elephant, a man, a woman, a child, a crowd of people, a face, a hand, an old man, a baby,
a dancer, a soldier, a car, a bus, a train, an aeroplane, a ship, a bicycle, a motorcycle, a truck,
a tractor, a rocket, a house, a tower, a bridge, a street at night, a kitchen, a bedroom, an office,
a shop, a church, a mountain, a beach, a forest, a river, the sea, a desert, snow, rain,
a thunderstorm, fire, smoke, the moon, stars, a sunset, clouds, grass, a tree, a flower, a leaf,
fruit, bread, a cup of coffee, a cake, a bottle, a plate of food, a knife, a hammer, a chair,
a table, a lamp, a clock, a book, a newspaper, a telephone, a computer, a camera, a television,
a door, a window, a key, a ball, a guitar, a violin, drums, a piano, a trumpet, singing, speech,
laughter, applause, footsteps, an engine, a siren, a bell, water running, wind, birds singing,
a dog barking, music, silence, a drawing, a map, a letter, a number
"""
EVERYDAY = tuple(phrase.strip() for phrase in _EVERYDAY.split(","))


def calibrate(settings: Settings, index: VectorIndex, cards: Sequence[EncoderCard]) -> Calibration:
    """Measure, and keep it with the collection. Loads the text tower of each encoder that was
    trained. Raises IndexUnavailable, and what loading an encoder raises."""
    spaces = spaces_of(cards)
    samples = {space.vector_name: _sample(settings, index, space.vector_name) for space in spaces}
    pairs: list[PairScale] = []
    for card in cards:
        mine = [space for space in spaces if space.encoder == card.name]
        encoder = None
        if card.meaningful and Modality.TEXT in card.modalities:
            encoder = load_chosen(settings, card.name, only=(Modality.TEXT,))
        pairs += _pairs(mine, samples, encoder)
    made = Calibration(
        FORMAT,
        datetime.now(UTC).isoformat(timespec="seconds"),
        index.count(exact=False),
        tuple(card.fingerprint() for card in cards),
        tuple(pairs),
    )
    index.keep_metadata({KEPT_AS: codec.to_bytes(made).decode()})
    return made


def calibrate_if_changed(
    settings: Settings, index: VectorIndex, cards: Sequence[EncoderCard]
) -> Calibration | None:
    """What is kept, or, where the collection has changed much since, a new one. None where
    `search.calibration_vectors` is 0, or the encoders were never trained: what they do not know is
    on no scale."""
    if settings.search.calibration_vectors == 0 or not cards[0].meaningful:
        return None
    kept = kept_calibration(index.metadata().get(KEPT_AS), tuple(c.fingerprint() for c in cards))
    segments = index.count(exact=False)
    if kept is not None and abs(segments - kept.segments) <= CHANGED_BY * kept.segments:
        return kept
    return calibrate(settings, index, cards) if segments >= FEWEST else kept


def _sample(settings: Settings, index: VectorIndex, name: str) -> NDArray[np.float32]:
    """(N, D) of unit length: live vectors of that name, as they follow one another by their ids,
    which are spread as if by chance."""
    wanted = settings.search.calibration_vectors or 1_000
    points = index.points().live_vectors(name, wanted, FIRST)
    vectors = [point.vectors[name] for point in points if name in point.vectors]
    if not vectors:
        return np.zeros((0, 1), np.float32)
    matrix = np.stack(vectors).astype(np.float32)
    unit: NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


def _pairs(
    spaces: Sequence[VectorSpace],
    samples: dict[str, NDArray[np.float32]],
    encoder: Encoder | None,
) -> Iterator[PairScale]:
    asked: dict[Modality, NDArray[np.float32]] = {}
    for space in spaces:
        if space.modality is not Modality.TEXT and len(samples[space.vector_name]) >= FEWEST:
            asked[space.modality] = samples[space.vector_name][:QUESTIONS]
    if encoder is not None:
        asked[Modality.TEXT] = encoder.encode(Modality.TEXT, EVERYDAY)
    for modality, questions in asked.items():
        for space in spaces:
            stored = samples[space.vector_name]
            if len(stored) < FEWEST:
                continue
            cosines = questions @ stored.T
            if space.modality is modality and modality is not Modality.TEXT:
                count = len(questions)  # they are the first of those stored: each finds itself
                cosines[np.arange(count), np.arange(count)] = np.nan
            yield scale_of(str(modality), space.vector_name, cosines[~np.isnan(cosines)])


def scale_of(asked: str, vector_name: str, cosines: NDArray[np.float32]) -> PairScale:
    """The quantiles of these cosines at `LEVELS`, each a little above the one before at least."""
    shares = [_NORMAL.cdf(level) for level in LEVELS]
    found = np.quantile(cosines.astype(np.float64), shares)
    step = max(float(found[-1] - found[0]), 1e-3) * 1e-4
    rising = found + step * np.arange(len(found))
    return PairScale(asked, vector_name, tuple(round(float(c), 9) for c in rising))
