"""Changes of what readers see, as requests: a flip, a sweep, a removal.

Each touches only what runs up to its own sequence wrote, so that a writer which wakes up late
changes nothing that a later run has made.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client import models as q

_SEGMENT = q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))


def flip_steps(
    anchors: Sequence[q.PointStruct],
    asset_ids: Sequence[str],
    live: Sequence[str],
    sequence: int,
) -> list[q.UpdateOperation]:
    """Write the anchors, make the points `live` live and the assets' other segments not."""
    hide = q.SetPayload(payload={"live": False}, filter=others(asset_ids, live, sequence))
    steps: list[q.UpdateOperation] = [
        q.UpsertOperation(
            upsert=q.PointsList(
                points=list(anchors), update_filter=q.Filter(must=[_up_to(sequence)])
            )
        ),
        q.SetPayloadOperation(set_payload=q.SetPayload(payload={"live": True}, points=list(live))),
    ]
    return [*steps, q.SetPayloadOperation(set_payload=hide)] if asset_ids else steps


def deletion(selected: q.Filter) -> list[q.UpdateOperation]:
    """The step of a batch that deletes what a filter selects."""
    return [q.DeleteOperation(delete=q.FilterSelector(filter=selected))]


def others(asset_ids: Sequence[str], keep: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments but for those to keep."""
    return q.Filter(
        must=[_SEGMENT, _up_to(sequence), _of(asset_ids)],
        must_not=[q.HasIdCondition(has_id=list(keep))],
    )


def hidden(asset_ids: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments that no reader sees: of generations that were never flipped to."""
    not_live = q.FieldCondition(key="live", match=q.MatchValue(value=False))
    return q.Filter(must=[_SEGMENT, not_live, _up_to(sequence), _of(asset_ids)])


def all_of(asset_ids: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments and anchors."""
    return q.Filter(must=[_up_to(sequence), _of(asset_ids)])


def _of(asset_ids: Sequence[str]) -> q.FieldCondition:
    return q.FieldCondition(key="asset_id", match=q.MatchAny(any=list(asset_ids)))


def _up_to(sequence: int) -> q.FieldCondition:
    return q.FieldCondition(key="sequence", range=q.Range(lte=sequence))
