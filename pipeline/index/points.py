"""The points of a collection one by one: read in pages, fetched by their ids, deleted by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models as q

from pipeline.ids import anchor_id
from pipeline.index.connection import Connection

POINTS_PER_PAGE = 2_000
# Local mode sorts and filters the whole collection anew for every page.
POINTS_A_PAGE_LOCAL = 20_000
POINTS_PER_DELETE = 1_000

PointId = int | str


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as Qdrant has it; `vectors` is empty unless they were asked for."""

    point_id: PointId
    payload: Mapping[str, Any]
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class CollectionPoints:
    """Every method raises IndexUnavailable."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._call = connection.call
        self._collection = collection
        self._page = POINTS_A_PAGE_LOCAL if connection.local else POINTS_PER_PAGE

    def pages(self, fields: Sequence[str]) -> Iterator[list[StoredPoint]]:
        """Every point of the collection once, with these payload fields and no vectors."""
        offset: Any = None
        while True:
            with self._call("reading points") as client:
                found, offset = client.scroll(
                    self._collection,
                    limit=self._page,
                    offset=offset,
                    with_payload=list(fields),
                    with_vectors=False,
                )
            yield [StoredPoint(_plain_id(p.id), p.payload or {}) for p in found]
            if offset is None:
                return

    def anchors(self, page: int) -> Iterator[list[dict[str, Any]]]:
        """The payload of every anchor that names its asset, a page at a time."""
        asset = q.FieldCondition(key="kind", match=q.MatchValue(value="asset"))
        offset: Any = None
        while True:
            with self._call("reading anchors") as client:
                found, offset = client.scroll(
                    self._collection,
                    scroll_filter=q.Filter(must=[asset]),
                    limit=page,
                    offset=offset,
                    with_payload=["asset_id", "key", "generation", "spaces", "encoder"],
                )
            yield [p.payload for p in found if p.payload and _is_anchor_of(p.id, p.payload)]
            if offset is None:
                return

    def fetch(
        self, point_ids: Sequence[PointId], fields: Sequence[str] | None = None
    ) -> dict[PointId, StoredPoint]:
        """Those of the points that are there: whole, or with these fields and no vectors."""
        with self._call("fetching points") as client:
            found = client.retrieve(
                self._collection,
                list(point_ids),
                with_payload=True if fields is None else list(fields),
                with_vectors=fields is None,
            )
        points = (StoredPoint(_plain_id(p.id), p.payload or {}, _named(p.vector)) for p in found)
        return {point.point_id: point for point in points}

    def live_vectors(self, name: str, count: int, start: str) -> list[StoredPoint]:
        """Live segments that have this vector, with it alone: as they follow one another by their
        ids from `start` on, and from the first one where the last is passed."""
        wanted = [
            q.FieldCondition(key="live", match=q.MatchValue(value=True)),
            q.FieldCondition(key="kind", match=q.MatchValue(value="segment")),
            q.HasVectorCondition(has_vector=name),
        ]
        points: dict[PointId, StoredPoint] = {}
        for offset in (start, None):
            with self._call("reading a sample of the vectors") as client:
                found, _ = client.scroll(
                    self._collection,
                    scroll_filter=q.Filter(must=list(wanted)),
                    limit=count - len(points),
                    offset=offset,
                    with_payload=False,
                    with_vectors=[name],
                )
            points |= {_plain_id(p.id): StoredPoint(_plain_id(p.id), {}, _named(p.vector))
                       for p in found}  # fmt: skip
            if len(points) >= count:
                break
        return list(points.values())

    def delete(self, point_ids: Sequence[PointId]) -> None:
        """Of points that are not there, too. One that takes longer than `index.timeout_s` is waited
        for, and is done where none of its points is left."""
        for start in range(0, len(point_ids), POINTS_PER_DELETE):
            some = list(point_ids[start : start + POINTS_PER_DELETE])
            steps = [q.DeleteOperation(delete=q.PointIdsList(points=some))]
            self._connection.update(
                self._collection, steps, "deleting points", done=partial(self._gone, some)
            )

    def _gone(self, point_ids: Sequence[PointId]) -> bool:
        with self._call("looking for deleted points") as client:
            return not client.retrieve(self._collection, list(point_ids), with_payload=False)

    def datatypes(self) -> dict[str, str]:
        """In which precision each named vector is kept: `float32`, `float16` or `uint8`."""
        with self._call("reading the collection's configuration") as client:
            params = client.get_collection(self._collection).config.params.vectors
        named = params if isinstance(params, dict) else {}
        return {
            name: (one.datatype or q.Datatype.FLOAT32).value.lower() for name, one in named.items()
        }


def _plain_id(point_id: Any) -> PointId:
    return point_id if isinstance(point_id, int) else str(point_id)


def _named(vectors: Any) -> dict[str, NDArray[np.float32]]:
    if not isinstance(vectors, dict):
        return {}
    return {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}


def _is_anchor_of(point: Any, payload: Mapping[str, Any]) -> bool:
    named = payload.get("asset_id")
    try:
        return isinstance(named, str) and anchor_id(named) == str(point)
    except ValueError:  # no id of an asset
        return False
