"""A sample of the assets, compared whole: payloads and vectors of their segments and anchors.

Which assets are taken is a function of their ids and a seed: spread over every shard, another
sample with every seed, the same with the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ids import anchor_id
from pipeline.index.load import anchors_of
from pipeline.index.points import CollectionPoints, StoredPoint
from pipeline.payload_fields import Verified
from pipeline.payload_schema import FIELDS
from pipeline.records import ObjectOutcome
from pipeline.state.segments import SegmentBatch, read_segments
from pipeline.verify.findings import Finding
from pipeline.verify.join_db import JoinDatabase, blob

# Fields that say how a point was loaded, of which Parquet has none; and those that are compared of
# every point, not of the sample alone.
NOT_SAMPLED = {field.name for field in FIELDS if field.verified is not Verified.SAMPLE}
# Relative and absolute: of a value rounded to the stored type, after Qdrant made its unit length.
TOLERANCES = {"float32": (1e-5, 1e-6), "float16": (2**-10, 2**-20), "uint8": (0.0, 1.0)}


class Sampler:
    """Compares the assets that it takes; `share` is of all assets, `segments` what was compared,
    `left_out` the payload fields that this collection does not store (`index.payload_exclude`)."""

    def __init__(
        self,
        joined: JoinDatabase,
        points: CollectionPoints,
        *,
        share: float,
        seed: int,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self._ledger = joined
        self._points = points
        self._below = int(min(1.0, share) * 2**32)
        self._seed = seed & 0xFFFFFFFF
        self._not_compared = NOT_SAMPLED | left_out
        self._datatypes = points.datatypes()
        self.segments = 0

    def takes(self, asset: bytes) -> bool:
        return zlib.crc32(asset, self._seed) < self._below

    def check(self, path: Path, outcomes: Mapping[bytes, ObjectOutcome]) -> None:
        """Compare those that are taken of the assets of a Parquet file, a batch at a time."""
        taken = {o.asset_id: o for asset, o in outcomes.items() if self.takes(asset)}
        if not taken:
            return

        def compared() -> Iterator[SegmentBatch]:
            for batch in read_segments(path, only=taken):
                self._compare_batch(batch, self._points.fetch(batch.point_ids))
                yield batch

        anchors = anchors_of(compared(), taken, 0, "")
        there = self._points.fetch([anchor_id(anchor.asset_id) for anchor in anchors])
        for anchor in anchors:
            stored = there.get(anchor_id(anchor.asset_id))
            # That it is missing, or names another generation, the comparison of all says.
            if stored is not None and stored.payload.get("generation") == anchor.generation:
                self._compare_payload(anchor.asset_id, "anchor", anchor.payload, stored)
                # It has none unless `index.anchor_vectors` said so when it was loaded.
                if stored.vectors:
                    self._compare_vectors(anchor.asset_id, "anchor", dict(anchor.vectors), stored)

    def _compare_batch(self, batch: SegmentBatch, there: Mapping[Any, StoredPoint]) -> None:
        vectors: list[dict[str, NDArray[np.float32]]] = [{} for _ in batch.point_ids]
        for name, (rows, matrix) in batch.vectors.items():
            for row, vector in zip(rows.tolist(), matrix, strict=True):
                vectors[row][name] = vector
        for row, point_id in enumerate(batch.point_ids):
            stored = there.get(point_id)
            if stored is None:
                continue  # missing: the comparison of all ids says so
            asset, payload = batch.asset_ids[row], batch.payloads[row]
            what = f"segment {payload.get('segment_index')}"
            self._compare_payload(asset, what, payload, stored)
            self._compare_vectors(asset, what, vectors[row], stored)
            self.segments += 1

    def _compare_payload(
        self, asset: str, what: str, wanted: Mapping[str, Any], stored: StoredPoint
    ) -> None:
        names = (wanted.keys() | stored.payload.keys()) - self._not_compared
        differing = [n for n in sorted(names) if not _same(n, wanted, stored.payload)]
        if differing:
            self._find(Finding.PAYLOAD_DIFFERS, asset, f"{what}: {', '.join(differing)}")

    def _compare_vectors(
        self, asset: str, what: str, wanted: dict[str, NDArray[np.float32]], stored: StoredPoint
    ) -> None:
        differing = sorted(wanted.keys() ^ stored.vectors.keys())
        for name in wanted.keys() & stored.vectors.keys():
            datatype = self._datatypes.get(name, "float32")
            if not is_stored_as(stored.vectors[name], wanted[name], datatype):
                differing.append(name)
        if differing:
            self._find(Finding.VECTOR_DIFFERS, asset, f"{what}: {', '.join(sorted(differing))}")

    def _find(self, name: Finding, asset: str, detail: str) -> None:
        self._ledger.find(name, asset=blob(asset), points=1, detail=detail)


def is_stored_as(stored: NDArray[np.floating], wanted: NDArray[np.floating], datatype: str) -> bool:
    """Whether `stored` is what Qdrant makes of `wanted`: of unit length, rounded to the type."""
    relative, absolute = TOLERANCES[datatype]
    unit = wanted / max(float(np.linalg.norm(wanted)), 1e-12)
    return stored.shape == unit.shape and bool(np.allclose(stored, unit, relative, absolute))


def _same(name: str, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    return name in wanted and name in stored and bool(wanted[name] == stored[name])
