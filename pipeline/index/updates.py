"""Changes of what readers see, as requests: a flip, a removal, a sweep of what is hidden.

Each leaves alone what a run of a later sequence wrote, so that a writer which wakes up late changes
nothing that a later run has made. A point that has lost its `sequence` is no later run's: it is
deleted with the others. No request names more than `IDS_PER_REQUEST` points: an
asset that has more is named by its id and generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdrant_client import models as q

from pipeline.ids import anchor_id

# Below what a collection's strict mode allows in one condition (`condition_max_size`, 10,000), and
# about a tenth of a second of the server's time.
IDS_PER_REQUEST = 2_000

_SEGMENT = q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be live after a flip: these points; or, of one asset that has too many of them to
    be named, those of its generation."""

    point_ids: Sequence[str] = ()
    asset_id: str = ""
    generation: str = ""

    @property
    def condition(self) -> q.Condition:
        if self.asset_id:
            return q.Filter(must=[_of([self.asset_id]), _generation(self.generation)])
        return q.HasIdCondition(has_id=list(self.point_ids))


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors that a flip writes: of assets that had none, and of those that are replaced."""

    new: Sequence[q.PointStruct] = ()
    replaced: Sequence[q.PointStruct] = ()


def flip_steps(
    anchors: Anchors,
    shown: Shown,
    asset_ids: Sequence[str],
    sequence: int,
    *,
    already_live: bool = False,
) -> list[q.UpdateOperation]:
    """Make what is to be shown live, unless it is, and delete the other segments of `asset_ids`:
    generations that were live, and what a run that was overtaken has left hidden.

    The anchor of a replaced asset is written between the two, so that its generation is whole
    whenever one looks. That of a new asset comes first: a load that is done again after a kill sees
    by it that segments may be live.
    """
    live = {"live": True}
    turned_on = (
        q.SetPayload(
            payload=live, filter=q.Filter(must=[_SEGMENT, _up_to(sequence), shown.condition])
        )
        if shown.asset_id
        # By their ids, and not by a filter that has them: then one that went is an error.
        else q.SetPayload(payload=live, points=list(shown.point_ids))
    )
    steps: list[q.UpdateOperation] = []
    if anchors.new:
        steps.append(_written(anchors.new, sequence))
    if not already_live:
        steps.append(q.SetPayloadOperation(set_payload=turned_on))
    if anchors.replaced:
        steps.append(_written(anchors.replaced, sequence))
    if asset_ids:
        steps += deletion(_others(asset_ids, shown, sequence))
    return steps


def _written(points: Sequence[q.PointStruct], sequence: int) -> q.UpsertOperation:
    later_stay = q.PointsList(points=list(points), update_filter=unless_later(sequence))
    return q.UpsertOperation(upsert=later_stay)


def deletion(selected: q.Filter) -> list[q.UpdateOperation]:
    """The step of a batch that deletes what a filter selects."""
    return [q.DeleteOperation(delete=q.FilterSelector(filter=selected))]


def hidden(asset_ids: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments that no reader sees: of generations that were never flipped to."""
    not_live = q.FieldCondition(key="live", match=q.MatchValue(value=False))
    return q.Filter(must=[_SEGMENT, not_live, _of(asset_ids)], must_not=[_later(sequence)])


def superseded(generations: Mapping[str, str], sequence: int) -> q.Filter:
    """The assets' segments that are live and not of the generation that is given for the asset."""
    live = q.FieldCondition(key="live", match=q.MatchValue(value=True))
    return q.Filter(
        must=[_SEGMENT, live, _of(list(generations))],
        must_not=[
            _later(sequence),
            *(Shown(asset_id=a, generation=g).condition for a, g in generations.items()),
        ],
    )


def all_of(asset_ids: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments and anchors; an anchor by its id as well, whatever it has lost."""
    anchors = q.HasIdCondition(has_id=list(map(anchor_id, asset_ids)))
    return q.Filter(should=[_of(asset_ids), anchors], must_not=[_later(sequence)])


def unless_later(sequence: int) -> q.Filter:
    """The condition of an upsert: a point that a later run wrote stays. One that has lost its
    `sequence` is written over: nobody else would mend it."""
    return q.Filter(must_not=[_later(sequence)])


def unless_later_or_shown(sequence: int) -> q.Filter:
    """As `unless_later`; and what this very run has shown stays, too. A load of it that was given
    up for lost, and goes on beside the one that took its place, would hide it again."""
    live = q.FieldCondition(key="live", match=q.MatchValue(value=True))
    not_earlier = q.FieldCondition(key="sequence", range=q.Range(gte=sequence))
    return q.Filter(must_not=[_later(sequence), q.Filter(must=[not_earlier, live])])


def _up_to(sequence: int) -> q.FieldCondition:
    """What is known to be of no later run."""
    return q.FieldCondition(key="sequence", range=q.Range(lte=sequence))


def _later(sequence: int) -> q.FieldCondition:
    """What a later run has written."""
    return q.FieldCondition(key="sequence", range=q.Range(gt=sequence))


def _others(asset_ids: Sequence[str], shown: Shown, sequence: int) -> q.Filter:
    return q.Filter(must=[_SEGMENT, _of(asset_ids)], must_not=[_later(sequence), shown.condition])


def _of(asset_ids: Sequence[str]) -> q.FieldCondition:
    return q.FieldCondition(key="asset_id", match=q.MatchAny(any=list(asset_ids)))


def _generation(generation: str) -> q.FieldCondition:
    return q.FieldCondition(key="generation", match=q.MatchValue(value=generation))
