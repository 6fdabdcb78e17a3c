"""Compares the listing with the state: one row an object, with what is to be done and why.

Pure. Both sides come sorted by bucket and key, so that the join streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from operator import attrgetter

from pipeline.ids import Recipe, asset_id, generation
from pipeline.records import Action, Failure, MediaObject, ObjectOutcome, Place, PlanRow, Status
from pipeline.settings import SourceSettings
from pipeline.source.select import SelectedObject, SelectionCounts
from pipeline.state.objects import StateRow

# How an object left a run: its generation, status and number of segments.
Ending = tuple[str, Status, int]
TO_EMBED = (Action.NEW, Action.CHANGED, Action.RETRY)
_NONE_KNOWN: tuple[str, str, StateRow | None] = ("", "", None)
_but_shard = attrgetter(*PlanRow.__slots__[:-1])
_UNDONE = (Status.FAILED, Status.REJECTED, Status.DENIED, Status.ARCHIVED)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which unchanged objects are tried again: those whose failure may pass, those named by `keys`
    (or by their URIs: several buckets may have a key), with `all_failed` every one that did not
    get in, those that left cold storage, and those that ended otherwise in a stopped run
    (`endings`, of bucket and key): the index may have that."""

    all_failed: bool = False
    keys: frozenset[str] = frozenset()
    readable_classes: frozenset[str] = frozenset()
    endings: Callable[[Place], Set[Ending]] = lambda _: frozenset()

    def reason(self, known: StateRow, obj: MediaObject) -> str:
        """Why to try again; empty for not at all."""
        if self.keys and (known.key in self.keys or obj.uri in self.keys):
            return "asked for"
        ending = (known.generation, known.status, known.segments)
        if self.endings(obj.place) - {ending}:
            return "a stopped run made something else of it"
        if known.status not in _UNDONE:
            return ""
        if self.all_failed:
            return "asked for all that failed"
        if known.failure is not None and known.failure.retryable:
            return f"failed last time: {known.failure.code}"
        if known.status is Status.ARCHIVED and obj.storage_class in self.readable_classes:
            return f"storage class is {obj.storage_class} now"
        return ""


@dataclass(slots=True)
class PlanSummary:
    """Counts by action, as far as the plan has been read; `sidecars` are those of the objects.
    `known_media_ms` is from the state: what was decoded last time of them. `notes` are the source's
    own words about its listing."""

    objects: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    sidecars: Counter[str] = field(default_factory=Counter)
    known_media_ms: Counter[str] = field(default_factory=Counter)
    selection: SelectionCounts = field(default_factory=SelectionCounts)
    notes: tuple[str, ...] = ()

    @property
    def to_embed(self) -> int:
        return sum(self.objects[action] for action in TO_EMBED)

    @property
    def nothing_to_do(self) -> bool:
        return self.to_embed == 0 and self.objects[Action.GONE] == 0

    def add(self, row: PlanRow, known: StateRow | None) -> None:
        action = row.action.value
        self.objects[action] += 1
        self.bytes[action] += row.object.size_bytes
        # A row that is gone has none of its own: what it had, the state knows.
        beside = known.sidecars if known and row.action is Action.GONE else row.sidecars
        self.sidecars[action] += len(beside)
        if known is not None:
            self.known_media_ms[action] += known.decoded_ms


def plan_rows(
    selected: Iterable[SelectedObject],
    known: Iterable[StateRow],
    recipe: Recipe,
    retry: RetryPolicy,
    summary: PlanSummary,
    *,
    bucket: str,
    is_gone: Callable[[str, str], bool] = lambda _bucket, _key: True,
) -> Iterator[PlanRow]:
    """One row for each object that is listed or known, in the order of bucket and key; `summary`
    counts. What lies behind the end of a listing that ended early is left as it is, and so is what
    is known, not listed, and not gone by `is_gone`. Rows of the state that name no bucket are of
    `bucket`.
    """
    digest = recipe.digest()
    states = ((row.bucket or bucket, row.key, row) for row in known)
    of, key, state = next(states, _NONE_KNOWN)
    for found in selected:
        obj = found.object
        while state is not None and (of, key) < (obj.bucket, obj.key):
            yield _not_listed(state, of, summary, is_gone)
            of, key, state = next(states, _NONE_KNOWN)
        row, was = None, None
        if state is not None and key == obj.key and of == obj.bucket:
            row, was = _planned(found, state, recipe, digest, retry), state
            of, key, state = next(states, _NONE_KNOWN)
        else:
            gen = generation(obj, found.sidecars, recipe)
            asset = asset_id(obj.bucket, obj.key)
            row = PlanRow(Action.NEW, obj, asset, gen, "new", found.sidecars)
        summary.add(row, was)
        yield row
    while state is not None and not summary.selection.ended_early:
        yield _not_listed(state, of, summary, is_gone)
        of, key, state = next(states, _NONE_KNOWN)


def _planned(
    found: SelectedObject, known: StateRow, recipe: Recipe, digest: str, retry: RetryPolicy
) -> PlanRow:
    gen = generation(found.object, found.sidecars, recipe)
    if gen != known.generation:
        action, reason = Action.CHANGED, _what_changed(found, known, digest)
    else:
        reason = retry.reason(known, found.object)
        action = Action.RETRY if reason else Action.UNCHANGED
    return PlanRow(
        action, found.object, known.asset_id, gen, reason, found.sidecars, known.generation
    )


def _what_changed(found: SelectedObject, known: StateRow, digest: str) -> str:
    changed = []
    if found.object.etag != known.etag:
        changed.append("etag")
    if found.object.version_id != known.version_id:
        changed.append("version")
    if {sidecar.key for sidecar in found.sidecars} != set(known.sidecars):
        changed.append("sidecar")
    if known.recipe != digest:
        changed.append("recipe")
    if changed:
        return ", ".join(changed)
    # The generation differs, yet nothing that the state knows: a sidecar has another content, or a
    # manifest says something else.
    if not found.sidecars:
        return "metadata"
    return "sidecar or metadata" if found.object.metadata else "sidecar"


def _not_listed(
    known: StateRow, bucket: str, summary: PlanSummary, is_gone: Callable[[str, str], bool]
) -> PlanRow:
    obj = MediaObject(bucket, known.key, known.etag, known.size_bytes, "")
    if is_gone(bucket, known.key):
        reason = "no longer listed, or left out by a filter"
        row = PlanRow(Action.GONE, obj, known.asset_id, "", reason, (), known.generation)
    else:
        row = PlanRow(Action.UNCHANGED, obj, known.asset_id, known.generation, "not listed, kept")
    summary.add(row, known)
    return row


def cut_into_shards(rows: Iterable[PlanRow], max_objects: int, max_bytes: int) -> Iterator[PlanRow]:
    """Number the shards of the rows that are to be embedded, in their order; others stay at -1."""
    shard, objects, size = 0, 0, 0
    for row in rows:
        if row.action not in TO_EMBED:
            yield row
            continue
        if objects and (objects >= max_objects or size + row.object.size_bytes > max_bytes):
            shard, objects, size = shard + 1, 0, 0
        objects += 1
        size += row.object.size_bytes
        values = (*_but_shard(row), shard)  # `dataclasses.replace` takes twice as long
        yield PlanRow(*values)


def verdict_without_get(row: PlanRow, source: SourceSettings) -> ObjectOutcome | None:
    """How the object ends where the listing alone says it: empty, or in cold storage.

    One that is asked for again is tried, since a restored object keeps its storage class.
    """
    obj = row.object
    if obj.size_bytes == 0:
        status, code, message = Status.REJECTED, "empty_object", f"{obj.uri} has no bytes."
        remedy = "Upload it again."
    elif obj.storage_class not in source.storage_classes and row.action is not Action.RETRY:
        status, code, message = Status.ARCHIVED, "archived", f"{obj.uri} is in {obj.storage_class}."
        remedy = "Restore it, then `sensedex retry`; or add the class to source.storage_classes."
    else:
        return None
    return ObjectOutcome(
        obj.key,
        row.asset_id,
        row.generation,
        obj.etag,
        obj.version_id,
        obj.size_bytes,
        status,
        failure=Failure("plan", code, False, message, remedy),
        sidecars=tuple(sidecar.key for sidecar in row.sidecars),
        bucket=obj.bucket,
    )
