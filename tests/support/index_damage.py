"""Damage to an index that a run made of a film and other objects, past all that a run would do."""

from __future__ import annotations

import uuid
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.ids import asset_id
from pipeline.index.vector_index import VectorIndex

FILM = "films/one.mp4"


def engine(index: VectorIndex) -> QdrantClient:
    """For damage that nobody would do through the index."""
    return index._connection.client


def points_of(index: VectorIndex, key: str, **fields: Any) -> list[q.Record]:
    """An asset's segments in their order, with all that they hold."""
    wanted = {"asset_id": asset_id("media", key), "kind": "segment", **fields}
    found, _ = engine(index).scroll(
        "media",
        scroll_filter=q.Filter(
            must=[q.FieldCondition(key=k, match=q.MatchValue(value=v)) for k, v in wanted.items()]
        ),
        limit=100,
        with_vectors=True,
    )
    return sorted(found, key=lambda point: (point.payload or {})["segment_index"])


def put_point(index: VectorIndex, like: q.Record, point_id: Any = None, **payload: Any) -> None:
    """Write a point over (or, by another id, beside) one that is there."""
    assert like.payload is not None
    point = q.PointStruct(
        id=like.id if point_id is None else point_id,
        vector=like.vector,
        payload={**like.payload, **payload},
    )
    engine(index).upsert("media", [point])


def points_hide(index: VectorIndex) -> None:
    engine(index).set_payload("media", {"live": False}, points=[points_of(index, FILM)[1].id])


def an_old_generation_is_left(index: VectorIndex) -> None:
    put_point(index, points_of(index, FILM)[0], str(uuid.uuid4()), generation="f" * 16, live=False)
