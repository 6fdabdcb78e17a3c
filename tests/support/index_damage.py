"""Damage to an index that a run made of a film and other objects, past all that a run would do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.ids import anchor_id, asset_id
from pipeline.index.vector_index import VectorIndex

FILM = "films/one.mp4"

Damage = Callable[[VectorIndex], None]


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


def points_go(index: VectorIndex) -> None:
    index.points().delete([point.id for point in points_of(index, FILM)[:2]])


def an_anchor_goes(index: VectorIndex) -> None:
    index.points().delete([anchor_id(asset_id("media", FILM))])


def an_anchor_lies(index: VectorIndex) -> None:
    anchor = [anchor_id(asset_id("media", FILM))]
    engine(index).set_payload("media", {"segments": 7}, points=anchor)


def an_anchor_loses_its_sequence(index: VectorIndex) -> None:
    anchor = [anchor_id(asset_id("media", FILM))]
    engine(index).delete_payload("media", ["sequence"], points=anchor)


def a_payload_changes(index: VectorIndex) -> None:
    engine(index).set_payload("media", {"text": "other"}, points=[points_of(index, FILM)[1].id])


def a_field_goes(index: VectorIndex) -> None:
    engine(index).delete_payload("media", ["mime"], points=[anchor_id(asset_id("media", FILM))])


def a_payload_is_of_another_generation(index: VectorIndex) -> None:
    point = points_of(index, FILM)[1]
    engine(index).set_payload("media", {"generation": "0" * 16}, points=[point.id])


def a_payload_is_lost(index: VectorIndex) -> None:
    engine(index).clear_payload("media", [points_of(index, FILM)[1].id])


def a_vector_changes(index: VectorIndex) -> None:
    point = points_of(index, FILM)[2]
    assert isinstance(point.vector, dict)
    vision = np.asarray(point.vector["vision"], np.float32)
    vision[3] += 0.01
    engine(index).update_vectors(
        "media", [q.PointVectors(id=point.id, vector={"vision": vision.tolist()})]
    )


def a_vector_goes(index: VectorIndex) -> None:
    engine(index).delete_vectors("media", ["audio"], [points_of(index, FILM)[0].id])


def the_live_generation_has_more(index: VectorIndex) -> None:
    put_point(index, points_of(index, FILM)[0], str(uuid.uuid4()), segment_index=17)


def an_object_is_unknown(index: VectorIndex) -> None:
    gone = {"asset_id": asset_id("media", "gone.mp4"), "key": "gone.mp4"}
    for number in range(2):
        put_point(index, points_of(index, FILM)[number], str(uuid.uuid4()), **gone)


def a_rejected_object_is_shown(index: VectorIndex) -> None:
    bad = {"asset_id": asset_id("media", "bad/text.mp4"), "key": "bad/text.mp4"}
    put_point(index, points_of(index, FILM)[0], str(uuid.uuid4()), **bad)


def points_are_nobodys(index: VectorIndex) -> None:
    vector = {"vision": [1.0] + [0.0] * 255}
    points = [
        q.PointStruct(id=5, vector=vector),
        q.PointStruct(id=str(uuid.uuid4()), vector=vector),
    ]
    engine(index).upsert("media", points)


def the_collection_goes(index: VectorIndex) -> None:
    engine(index).delete_collection("media-1")


# A film has 3 windows; 5 good objects of 1 and 3 segments: 3 pictures, 2 sounds of 3, the film.
SEGMENTS = 3 + 2 * 3 + 3
DAMAGES: dict[Damage, dict[str, tuple[int, int]]] = {
    points_go: {"points_missing": (1, 2)},
    an_anchor_goes: {"anchor_missing": (1, 1)},
    an_anchor_lies: {"anchor_differs": (1, 1)},
    an_anchor_loses_its_sequence: {"anchor_missing": (1, 1), "points_unidentified": (1, 1)},
    points_hide: {"points_hidden": (1, 1)},
    a_payload_changes: {"payload_differs": (1, 1)},
    a_field_goes: {"payload_differs": (1, 1)},
    a_payload_is_of_another_generation: {"payload_differs": (1, 1)},
    a_payload_is_lost: {"payload_differs": (1, 2)},
    a_vector_changes: {"vector_differs": (1, 1)},
    a_vector_goes: {"vector_differs": (1, 1)},
    an_old_generation_is_left: {"points_superseded": (1, 1)},
    the_live_generation_has_more: {"points_unaccounted": (1, 1)},
    an_object_is_unknown: {"points_of_no_object": (1, 2)},
    a_rejected_object_is_shown: {"points_superseded": (1, 1)},
    points_are_nobodys: {"points_unidentified": (0, 2)},
    the_collection_goes: {
        "collection_missing": (0, 0),
        "points_missing": (6, SEGMENTS),
        "anchor_missing": (6, 6),
    },
}
