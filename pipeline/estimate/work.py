"""Work that is to be done, by media type, and samples of what some objects of it have cost.

A plan knows keys and sizes and nothing of what is in an object: its type is taken from its suffix.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.records import MediaType, ObjectOutcome

_IMAGES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".exr")
)
_SOUNDS = frozenset(
    (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".aiff")
)
MOST_SAMPLES = 200
"""Of a type: 20 kB in the state. More would not make a range narrower than machines differ."""


def type_by_suffix(key: str) -> MediaType:
    """The likeliest type of an object of this name; what has no suffix that is known is a video,
    the dearest."""
    suffix = "." + key.rpartition(".")[2].lower()
    if suffix in _IMAGES:
        return MediaType.IMAGE
    return MediaType.AUDIO if suffix in _SOUNDS else MediaType.VIDEO


@dataclass(frozen=True, slots=True)
class Work:
    """Objects of a type that are to be embedded, and their bytes."""

    objects: int = 0
    size_bytes: int = 0

    def __post_init__(self) -> None:
        if self.objects < 0 or self.size_bytes < 0:
            raise ValueError("work is not negative")

    def plus(self, size_bytes: int) -> Work:
        return Work(self.objects + 1, self.size_bytes + size_bytes)


WorkByType = Mapping[MediaType, Work]


@dataclass(frozen=True, slots=True)
class CostSample:
    """What one object was and took: `decode_s` is a worker's time for its fetch and decoding. An
    object that was rejected has no windows and took its time all the same."""

    media_type: MediaType
    size_bytes: int
    media_ms: int
    windows: int
    decode_s: float


def sample_of(outcome: ObjectOutcome) -> CostSample:
    """By the type that a plan would have guessed: that is what an estimate is made by."""
    return CostSample(
        type_by_suffix(outcome.key),
        outcome.size_bytes,
        outcome.decoded_ms,
        outcome.segments,
        outcome.seconds_by_stage.get("decode", 0.0),
    )


class SampleReservoir:
    """As many samples of each type as fit, each object with the same chance (Vitter, Random
    Sampling with a Reservoir, 1985, algorithm R). The same objects give the same samples."""

    def __init__(self, most: int = MOST_SAMPLES) -> None:
        self._most = most
        self._random = random.Random(0)
        self._kept: dict[MediaType, list[CostSample]] = {}
        self._seen: dict[MediaType, int] = {}

    def add(self, sample: CostSample) -> None:
        kept = self._kept.setdefault(sample.media_type, [])
        seen = self._seen[sample.media_type] = self._seen.get(sample.media_type, 0) + 1
        if len(kept) < self._most:
            kept.append(sample)
        elif (place := self._random.randrange(seen)) < self._most:
            kept[place] = sample

    def samples(self) -> tuple[CostSample, ...]:
        """Of all types, in the order of their names."""
        return tuple(sample for kind in sorted(self._kept) for sample in self._kept[kind])


def by_type(samples: Iterable[CostSample]) -> dict[MediaType, tuple[CostSample, ...]]:
    """The samples of each type that has some."""
    found: dict[MediaType, list[CostSample]] = {}
    for sample in samples:
        found.setdefault(sample.media_type, []).append(sample)
    return {kind: tuple(some) for kind, some in found.items()}
