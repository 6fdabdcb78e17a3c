"""Makes the plan for some objects, which events have named: what their buckets say of them now,
beside what the state knows. Only reads.

The same comparison as a whole run's, over the keys that can belong together with those named: an
event that tells of `dog.srt` plans `dog.mp4`. What it costs does not grow with the bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pipeline.ids import asset_id
from pipeline.planning.diff import PlanSummary, RetryPolicy, cut_into_shards, plan_rows
from pipeline.planning.file import write_plan
from pipeline.planning.plan import (
    RunPlan,
    check_source_and_encoders,
    check_state_is_of,
    recipe_of,
)
from pipeline.records import Action, MediaObject, Place, PlanRow, Status
from pipeline.settings import Settings
from pipeline.source.beside import is_media, scopes_beside
from pipeline.source.select import select
from pipeline.source.source import Source
from pipeline.state.objects import CurrentState, StateRow
from pipeline.state.table_file import prefix_range

_DONE = (Status.INDEXED, Status.PARTIAL)
LiveGenerations = Callable[[Sequence[str]], Mapping[str, str]]
"""Of some assets, the generations that the index shows."""


@dataclass(frozen=True, slots=True)
class NamedObjects:
    """Objects worth a look, by bucket and key; those `restored` have left cold storage."""

    places: Set[Place]
    restored: Set[Place] = field(default_factory=frozenset)


def plan_named(
    settings: Settings,
    named: NamedObjects,
    state: CurrentState,
    source: Source,
    live: LiveGenerations,
    path: Path,
) -> RunPlan:
    """The plan, written to a local file. A named media object that is neither listed nor known is
    `gone`, too: a run that was stopped, or is still at work, may have brought it in. One that is
    unchanged, but not as the index has it, is embedded again.

    Raises SettingsError, BucketNotFound, CredentialsMissing, StoreUnavailable, StateCorrupt.
    """
    cards = check_source_and_encoders(settings)
    recipe = recipe_of(settings, cards)
    wanted = settings.source
    check_state_is_of(wanted, state)
    scopes = scopes_beside(named.places, wanted)
    ranges = [prefix_range(scope.bucket, scope.prefix) for scope in scopes]
    known = {row.place: row for row in state.rows_in(ranges)}
    listed = chain.from_iterable(source.listed_under(one.bucket, one.prefix) for one in scopes)
    counting = PlanSummary()
    rows = list(
        plan_rows(
            select(listed, wanted, counting.selection),
            known.values(),
            recipe,
            RetryPolicy(
                keys=frozenset(MediaObject(*place, "", 0, "").uri for place in named.restored),
                readable_classes=frozenset(wanted.storage_classes),
            ),
            counting,
            bucket=state.bucket or wanted.name,
        )
    )
    rows = _as_the_index_has_them(rows, known, live)
    seen = {row.object.place for row in rows}
    rows += [_absent(place) for place in named.places - seen if is_media(place, wanted)]
    rows.sort(key=lambda row: row.object.place)
    summary = PlanSummary(selection=counting.selection)
    for row in rows:
        summary.add(row, known.get(row.object.place))
    cut = list(cut_into_shards(rows, settings.state.shard_objects, settings.state.shard_mb * 2**20))
    write_plan(path, cut, summary)
    embedded = [row for row in cut if row.shard >= 0]
    return RunPlan(
        path,
        state,
        cards,
        recipe,
        summary,
        Counter(row.shard for row in embedded),
        {},
        bytes_to_embed=sum(row.object.size_bytes for row in embedded),
    )


def _as_the_index_has_them(
    rows: Sequence[PlanRow], known: Mapping[Place, StateRow], live: LiveGenerations
) -> list[PlanRow]:
    """An event run that was killed after its flip has left another generation than the state has;
    its message comes again, and may find the object as it was before."""
    done = [
        row.asset_id
        for row in rows
        if row.action is Action.UNCHANGED and known[row.object.place].status in _DONE
    ]
    shown = live(done) if done else {}
    return [
        replace(row, action=Action.RETRY, reason="the index has another generation")
        if shown.get(row.asset_id, row.generation) != row.generation
        else row
        for row in rows
    ]


def _absent(place: Place) -> PlanRow:
    why = "named by an event, and not listed"
    return PlanRow(Action.GONE, MediaObject(*place, "", 0, ""), asset_id(*place), "", why)
