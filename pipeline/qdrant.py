"""The only home of qdrant_client: one collection behind an alias, and what is done to it.

A segment point is written with `live = false`; the flip, one request for a batch of assets, writes
their anchors and turns the new generation live and every other one not. Readers filter
`live = true` and see an asset's one generation, whole.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.errors import IndexMismatch, IndexUnavailable
from pipeline.ids import anchor_id
from pipeline.parquet import SegmentBatch
from pipeline.qdrant_errors import mapped_errors, open_client
from pipeline.qdrant_points import CollectionPoints
from pipeline.records import VectorSpace
from pipeline.settings import IndexSettings

INDEXED_FIELDS = {
    "asset_id": q.PayloadSchemaType.KEYWORD,
    "generation": q.PayloadSchemaType.KEYWORD,
    "kind": q.PayloadSchemaType.KEYWORD,
    "live": q.PayloadSchemaType.BOOL,
    "media_type": q.PayloadSchemaType.KEYWORD,
    "key": q.PayloadSchemaType.KEYWORD,
    "start_ms": q.PayloadSchemaType.INTEGER,
    "has_vision": q.PayloadSchemaType.BOOL,
    "has_audio": q.PayloadSchemaType.BOOL,
    "has_text": q.PayloadSchemaType.BOOL,
    "tags": q.PayloadSchemaType.KEYWORD,
    "sequence": q.PayloadSchemaType.INTEGER,
}


@dataclass(frozen=True, slots=True)
class Anchor:
    """An asset's one point beside its segments: which generation is live, and the mean vectors."""

    asset_id: str
    generation: str
    segment_ids: tuple[str, ...]
    vectors: Mapping[str, NDArray[np.float32]]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One point that a query found."""

    point_id: str
    score: float
    payload: Mapping[str, Any]


@contextmanager
def open_index(settings: IndexSettings) -> Iterator[VectorIndex]:
    """Raises IndexUnavailable where the server or the folder cannot be had."""
    client = open_client(settings)
    try:
        yield VectorIndex(client, settings)
    finally:
        client.close()


class VectorIndex:
    """All that is asked of Qdrant. Calls from several threads are taken one after the other where
    the engine is the client's own, which is not made for more."""

    def __init__(self, client: QdrantClient, settings: IndexSettings) -> None:
        self._client = client
        self._settings = settings
        self._name = settings.collection
        self._lock = threading.RLock() if settings.url is None else threading.Lock()
        self._local = settings.url is None

    def ensure_collection(self, spaces: Sequence[VectorSpace]) -> None:
        """Create the collection and its alias, or see that what is there fits.

        Raises IndexMismatch that names the vector, what is there and what is wanted.
        """
        with self._call("preparing the collection"):
            if self._physical() is not None or self._client.collection_exists(self._name):
                self._check(spaces)
                return
            physical = f"{self._name}-1"
            vectors = {
                s.vector_name: q.VectorParams(size=s.dimension, distance=q.Distance.COSINE)
                for s in spaces
            }
            if not self._client.collection_exists(physical):
                self._client.create_collection(physical, vectors_config=vectors)
            with warnings.catch_warnings():
                # Local mode filters without indexes and says so for each of them.
                warnings.simplefilter("ignore", UserWarning)
                for field, schema in INDEXED_FIELDS.items():
                    self._client.create_payload_index(physical, field, schema)
            alias = q.CreateAlias(collection_name=physical, alias_name=self._name)
            self._client.update_collection_aliases(
                change_aliases_operations=[q.CreateAliasOperation(create_alias=alias)]
            )

    def exists(self) -> bool:
        with self._call("looking for the collection"):
            return self._physical() is not None or self._client.collection_exists(self._name)

    def upsert_segments(
        self, batch: SegmentBatch, more: Mapping[str, Any], live: Collection[str] = ()
    ) -> None:
        """Write points; `more` is added to each payload. Not live yet, but those of the assets in
        `live`, whose generation was flipped to before: what is read must not go away."""
        vectors: list[dict[str, Any]] = [{} for _ in batch.point_ids]
        for name, (rows, matrix) in batch.vectors.items():
            for row, vector in zip(rows.tolist(), matrix.tolist(), strict=True):
                vectors[row][name] = vector
        # Not validated value by value: they come typed from Arrow, and checking each float again
        # costs a part of the client's time (docs/performance.md).
        points = [
            q.PointStruct.model_construct(
                id=point, vector=vector, payload={**payload, **more, "live": asset in live}
            )
            for point, asset, vector, payload in zip(
                batch.point_ids, batch.asset_ids, vectors, batch.payloads, strict=True
            )
        ]
        size = self._settings.upsert_points
        for start in range(0, len(points), size):
            with self._call("upserting points"):
                answer = self._client.upsert(self._name, points[start : start + size], wait=True)
            _completed(answer, "an upsert")

    def count_points(self, point_ids: Sequence[str]) -> int:
        """How many of these points are there, counted exactly."""
        having = q.Filter(must=[q.HasIdCondition(has_id=list(point_ids))])
        with self._call("counting points"):
            return self._client.count(self._name, count_filter=having, exact=True).count

    def flipped(self, asset_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Of the assets that have an anchor: the sequence of the run that flipped it last, and the
        generation that it flipped to."""
        with self._call("reading anchors"):
            found = self._client.retrieve(
                self._name,
                [anchor_id(asset) for asset in asset_ids],
                with_payload=["asset_id", "sequence", "generation"],
            )
        payloads = [point.payload for point in found if point.payload]
        return {p["asset_id"]: (p["sequence"], p["generation"]) for p in payloads}

    def flip(self, anchors: Sequence[Anchor]) -> None:
        """Make the anchors' generations the live ones, in one request."""
        assets = [anchor.asset_id for anchor in anchors]
        live = [point for anchor in anchors for point in anchor.segment_ids]
        points = [
            q.PointStruct(
                id=anchor_id(a.asset_id),
                vector={name: vector.tolist() for name, vector in a.vectors.items()},
                payload=dict(a.payload),
            )
            for a in anchors
        ]
        steps: list[Any] = [
            q.UpsertOperation(upsert=q.PointsList(points=points)),
            q.SetPayloadOperation(set_payload=q.SetPayload(payload={"live": True}, points=live)),
            q.SetPayloadOperation(
                set_payload=q.SetPayload(payload={"live": False}, filter=_others(assets, live))
            ),
        ]
        with self._call("flipping assets"):
            answers = self._client.batch_update_points(self._name, steps, wait=True)
        for answer in answers:
            _completed(answer, "a flip")

    def sweep(self, asset_ids: Sequence[str], keep: Sequence[str]) -> None:
        """Delete the assets' segments but for the points to keep."""
        self._delete(_others(asset_ids, keep), "sweeping old generations")

    def remove(self, asset_ids: Sequence[str], sequence: int) -> None:
        """Take assets out, anchor and segments, unless a later run has flipped them since."""
        later = {a for a, (s, _) in self.flipped(asset_ids).items() if s > sequence}
        gone = [asset for asset in asset_ids if asset not in later]
        if gone:
            mine = q.FieldCondition(key="asset_id", match=q.MatchAny(any=gone))
            self._delete(q.Filter(must=[mine]), "removing assets")

    def query(
        self,
        vector_name: str,
        vector: NDArray[np.float32],
        limit: int,
        *,
        must: Sequence[tuple[str, Any]] = (),
    ) -> list[Hit]:
        """The nearest live segments by cosine; `must` are (payload field, value) pairs."""
        fields = [("live", True), ("kind", "segment"), *must]
        wanted = [q.FieldCondition(key=k, match=q.MatchValue(value=v)) for k, v in fields]
        with self._call("searching"):
            found = self._client.query_points(
                self._name,
                query=vector.astype(np.float32).tolist(),
                using=vector_name,
                query_filter=q.Filter(must=list(wanted)),
                limit=limit,
                with_payload=True,
            ).points
        return [Hit(str(p.id), p.score, p.payload or {}) for p in found]

    def count(self, *, live_only: bool = True) -> int:
        """Segments in the index."""
        fields: list[q.Condition] = [
            q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))
        ]
        if live_only:
            fields.append(q.FieldCondition(key="live", match=q.MatchValue(value=True)))
        with self._call("counting"):
            return self._client.count(
                self._name, count_filter=q.Filter(must=fields), exact=True
            ).count

    def points(self) -> CollectionPoints:
        """The same collection, point by point."""
        return CollectionPoints(self._client, self._name, self._call, local=self._local)

    def _delete(self, selected: q.Filter, what: str) -> None:
        with self._call(what):
            answer = self._client.delete(
                self._name, points_selector=q.FilterSelector(filter=selected), wait=True
            )
        _completed(answer, what)

    def _physical(self) -> str | None:
        for alias in self._client.get_aliases().aliases:
            if alias.alias_name == self._name:
                return alias.collection_name
        return None

    def _check(self, spaces: Sequence[VectorSpace]) -> None:
        params = self._client.get_collection(self._name).config.params.vectors
        there = params if isinstance(params, dict) else {}
        for space in spaces:
            found = there.get(space.vector_name)
            if found is None or found.size != space.dimension:
                is_there = "no such vector" if found is None else f"{found.size} dimensions"
                raise IndexMismatch(
                    f"Collection {self._name!r}: vector {space.vector_name!r} has {is_there}, and "
                    f"{space.encoder} gives {space.dimension}.",
                    remedy="Name another collection (--collection), or go back to the encoder that "
                    "filled this one.",
                )
            if found.distance != q.Distance.COSINE:
                raise IndexMismatch(
                    f"Collection {self._name!r}: vector {space.vector_name!r} is compared by "
                    f"{found.distance}, not by cosine.",
                    remedy="Name another collection (--collection).",
                )

    @contextmanager
    def _call(self, what: str) -> Iterator[None]:
        where = self._settings.url or str(self._settings.path)
        with mapped_errors(what, where):
            if self._local:
                with self._lock:
                    yield
            else:
                yield


def _others(asset_ids: Sequence[str], keep: Sequence[str]) -> q.Filter:
    """The assets' segments but for those to keep."""
    mine = q.FieldCondition(key="asset_id", match=q.MatchAny(any=list(asset_ids)))
    segment = q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))
    return q.Filter(must=[mine, segment], must_not=[q.HasIdCondition(has_id=list(keep))])


def _completed(answer: q.UpdateResult, what: str) -> None:
    if answer.status != q.UpdateStatus.COMPLETED:
        raise IndexUnavailable(
            f"Qdrant answered {answer.status} to {what}.", remedy="The step is tried again."
        )
