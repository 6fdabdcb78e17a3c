"""Cosines made comparable: what share of a collection scores lower.

Cosines of words with pictures, and of words with sound, lie on scales of their own: a model's
towers do not meet at the same angle. `calibrate.py` measures, per pair of modalities, how cosines
of many questions are spread over the collection; here such a record turns a cosine into the share
that scores lower. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline import codec

KEPT_AS = "sensedex_calibration"
FORMAT = 1
# Of a sample's cosines these quantiles are kept, as numbers of the normal distribution: from the
# share 0.00003 to 0.99997. Beyond them the two last go on in a straight line.
LEVELS = tuple(round(-4 + 0.5 * n, 1) for n in range(17))
FARTHEST = 8.0
_NORMAL = NormalDist()


def share_of(level: float) -> float:
    """The share that scores lower, of a number of the normal distribution."""
    return _NORMAL.cdf(level)


@dataclass(frozen=True, slots=True)
class PairScale:
    """Of questions of one modality and one named vector: the cosine at each of `LEVELS`, rising."""

    asked: str
    vector_name: str
    cosines: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.cosines) != len(LEVELS):
            raise ValueError(f"{len(self.cosines)} cosines, and {len(LEVELS)} levels")
        if any(b <= a for a, b in zip(self.cosines, self.cosines[1:], strict=False)):
            raise ValueError("the cosines do not rise")

    def level(self, cosine: float) -> float:
        """Between two kept cosines on a straight line, beyond them on that of the last two."""
        place = int(np.searchsorted(self.cosines, cosine))
        low = min(max(place - 1, 0), len(LEVELS) - 2)
        begin, end = self.cosines[low], self.cosines[low + 1]
        found = LEVELS[low] + (cosine - begin) / (end - begin) * (LEVELS[low + 1] - LEVELS[low])
        return min(max(found, -FARTHEST), FARTHEST)

    def cosine_at(self, share: float) -> float:
        """That so large a share of the collection stays below."""
        return float(np.interp(_NORMAL.inv_cdf(share), LEVELS, self.cosines))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is kept with a collection: `segments` it had when it was measured, and the encoders'
    fingerprints, whose vectors alone it is of."""

    format: int
    measured_at: str
    segments: int
    fingerprints: tuple[str, ...]
    pairs: tuple[PairScale, ...]

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"it is of format {self.format}, and this reads {FORMAT}")

    def scale(self, asked: str, vector_name: str) -> Callable[[float], float] | None:
        """Takes a cosine to its level; None where that pair was not measured."""
        for pair in self.pairs:
            if (pair.asked, pair.vector_name) == (asked, vector_name):
                return pair.level
        return None


def kept_calibration(text: object, fingerprints: tuple[str, ...]) -> Calibration | None:
    """From the collection's metadata; None where there is none, it cannot be read, or is of other
    encoders: lists are ordered without it then."""
    if not isinstance(text, str):
        return None
    try:
        found = codec.from_bytes(Calibration, text)
    except ValueError:
        return None
    return found if found.fingerprints == fingerprints else None
