"""Proves hits: the bytes at a window's time are fetched, decoded and encoded again, and the vectors
come out as they are stored.

Of a sample of live windows, object by object. What left the bucket since, or changed there, proves
nothing and is named as stale.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.modality import Modality
from encoders.precision import MIN_COSINE
from encoders.preprocess.sampling import spread
from encoders.preprocess.text import clean
from encoders.protocol import Encoder
from pipeline.errors import MediaRejected, ObjectArchived, ObjectChanged, ObjectDenied
from pipeline.index.points import CollectionPoints, StoredPoint
from pipeline.local_files import scratch_folder
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.models.spaces import cards_of, load_chosen, spaces_of
from pipeline.payload import indexed_object
from pipeline.progress import ProgressReporter
from pipeline.records import VectorSpace
from pipeline.settings import Settings
from pipeline.source.source import Source, open_source

LEAST_COSINE = 0.999
NO_MORE = (ObjectChanged, ObjectDenied, ObjectArchived)


@dataclass(frozen=True, slots=True)
class HitCheck:
    """One vector of a window, encoded again. `cosine` is to the stored one; `least` what its
    encoder's precision was proved at, and `LEAST_COSINE` for float32."""

    key: str
    start_ms: int
    vector_name: str
    cosine: float
    least: float

    @property
    def proved(self) -> bool:
        return self.cosine >= self.least


@dataclass(frozen=True, slots=True)
class StaleHit:
    """A window of an object that is no longer what was indexed, and why."""

    key: str
    start_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class HitsReport:
    """Of `windows` that were looked at: the vectors that did not come out as stored, the windows
    that are stale, and the smallest cosine of each vector name."""

    windows: int
    vectors: int
    smallest: Mapping[str, float]
    false: tuple[HitCheck, ...]
    stale: tuple[StaleHit, ...]


def verify_hits(
    settings: Settings,
    points: CollectionPoints,
    count: int,
    seed: int,
    reporter: ProgressReporter,
) -> HitsReport:
    """Loads the encoders. Raises StoreUnavailable, IndexUnavailable, and what loading one does."""
    spaces = spaces_of(cards_of(settings))
    reporter.phase("choosing windows")
    chosen = sampled(points, spaces, count, seed)
    proof = _Proof(settings, spaces)
    checks: list[HitCheck] = []
    stale: list[StaleHit] = []
    windows = 0
    with scratch_folder() as folder:
        for number, some in enumerate(chosen.values(), start=1):
            reporter.count(f"proving hits: object {number} of {len(chosen)}")
            windows += len(some)
            try:
                checks += proof.of_object(some, folder / "object")
            except NO_MORE as error:
                stale += [StaleHit(*_place(point), error.code) for point in some]
    smallest: dict[str, float] = {}
    for check in checks:
        name = check.vector_name
        smallest[name] = min(smallest.get(name, 1.0), round(check.cosine, 6))
    return HitsReport(
        windows,
        len(checks),
        smallest,
        tuple(check for check in checks if not check.proved),
        tuple(stale),
    )


def sampled(
    points: CollectionPoints, spaces: Sequence[VectorSpace], count: int, seed: int
) -> dict[str, list[StoredPoint]]:
    """About `count` live windows by asset, whole; each named vector has its part of them."""
    names = [space.vector_name for space in spaces]
    ids: dict[Any, None] = {}
    random = np.random.default_rng(seed)
    for name in names:
        start = str(uuid.UUID(bytes=random.bytes(16)))
        for point in points.live_vectors(name, -(-count // len(names)), start):
            ids[point.point_id] = None
    by_asset: dict[str, list[StoredPoint]] = defaultdict(list)
    for point in points.fetch(list(ids)[:count]).values():
        by_asset[str(point.payload["asset_id"])].append(point)
    return dict(by_asset)


class _Proof:
    """Encodes windows again as a run does, one by one."""

    def __init__(self, settings: Settings, spaces: Sequence[VectorSpace]) -> None:
        self._settings = settings
        self._spaces = spaces
        self._source: Source = open_source(settings.source)
        names = dict.fromkeys(space.encoder for space in spaces)
        self._encoders = {name: load_chosen(settings, name) for name in names}

    def of_object(self, points: Sequence[StoredPoint], path: Path) -> Iterator[HitCheck]:
        """Raises one of `NO_MORE` where the object is not what was indexed."""
        obj = indexed_object(points[0].payload)
        self._source.fetch(obj, path)
        wanted = {int(point.payload["segment_index"]): point for point in points}
        last = max(wanted)
        seen: set[int] = set()
        try:
            for item in decode_in_child(path, self._settings.decode):
                if isinstance(item, Window) and item.segment.index in wanted:
                    seen.add(item.segment.index)
                    yield from self._of_window(item, wanted[item.segment.index])
                    if item.segment.index >= last:
                        break
        except MediaRejected:
            pass  # decoded in part: what is missing is false
        finally:
            path.unlink(missing_ok=True)
        for index in wanted.keys() - seen:
            key, start_ms = _place(wanted[index])
            yield HitCheck(key, start_ms, "none", 0.0, LEAST_COSINE)

    def _of_window(self, window: Window, stored: StoredPoint) -> Iterator[HitCheck]:
        for space in self._spaces:
            vector = stored.vectors.get(space.vector_name)
            if vector is None or (space.modality is Modality.TEXT and "text" not in stored.payload):
                continue  # `index.payload_exclude` leaves nothing to hold it against
            encoder = self._encoders[space.encoder]
            given = _input_of(space.modality, window, stored, encoder)
            cosine = 0.0
            if given is not None:
                again = encoder.encode(space.modality, given)[0]
                cosine = float(again @ vector / max(float(np.linalg.norm(vector)), 1e-12))
            least = least_cosine(encoder, space.modality)
            yield HitCheck(*_place(stored), space.vector_name, cosine, least)


def least_cosine(encoder: Encoder, modality: Modality) -> float:
    """Both the stored vector and the one made now may lie off by what the precision allows."""
    for one in encoder.precisions:
        if one.modality is modality and one.used in MIN_COSINE:
            return min(LEAST_COSINE, MIN_COSINE[one.used])
    return LEAST_COSINE


def _input_of(
    modality: Modality, window: Window, stored: StoredPoint, encoder: Encoder
) -> NDArray[Any] | list[str] | None:
    if modality is Modality.TEXT:
        text = str(stored.payload.get("text"))
        return [text] if clean(text) else None
    if modality is Modality.VISION:
        if window.frames is None:
            return None
        frames: NDArray[Any] = spread(window.frames, encoder.card.frames_per_clip)[None]
        return frames
    return None if window.sound is None else window.sound[None]


def _place(point: StoredPoint) -> tuple[str, int]:
    return str(point.payload["key"]), int(point.payload["start_ms"])
