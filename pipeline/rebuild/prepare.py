"""Begins a rebuild, in a new collection or in that of a stopped rebuild."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import SettingsError
from pipeline.index.collections import Collections
from pipeline.index.errors import place_of
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.alias import next_name
from pipeline.rebuild.copy import CopyProgress
from pipeline.rebuild.gate import check_vectors
from pipeline.rebuild.live_set import LivePlan, live_plan
from pipeline.rebuild.record import (
    Phase,
    RebuildRecord,
    begin_record,
    keep_record,
    read_records,
    receipts_of,
)
from pipeline.settings import Settings
from pipeline.settings_index import IndexSettings
from pipeline.state.objects import read_state
from pipeline.state.store import Store, open_store

SHAPE = (
    "distance", "datatype", "quantization", "hnsw_m", "hnsw_ef_construct", "shards", "replicas",
    "write_consistency", "on_disk", "on_disk_payload", "on_disk_payload_indexes",
)  # fmt: skip
"""The settings of the index that another collection is needed for when they change, and
`payload_exclude`, which is kept by its old name `leave_out`."""


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """What a person may ask of one rebuild, beside the settings."""

    min_recall: float = 0.98
    queries: int = 100
    fresh: bool = False
    allow_missing: bool = False
    new_vectors: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """Where a rebuild is. `detail` has figures of the phase, if there are any."""

    phase: str
    copied: CopyProgress = field(default_factory=CopyProgress)
    detail: str = ""


OnRebuild = Callable[[RebuildProgress], None]


@dataclass(slots=True)
class Rebuild:
    """One rebuild at work."""

    settings: Settings
    options: RebuildOptions
    store: Store
    collections: Collections
    plan: LivePlan
    record: RebuildRecord
    went_on: bool
    on_progress: OnRebuild = lambda _: None
    points: int = 0
    copied: CopyProgress = field(default_factory=CopyProgress)

    @property
    def target(self) -> VectorIndex:
        return self.index(self.record.target)

    def index(self, name: str = "") -> VectorIndex:
        return VectorIndex(self.collections.connection, self.settings.index, name)

    def say(self, phase: str, detail: str = "") -> None:
        self.on_progress(RebuildProgress(phase, self.copied, detail))


def begin(
    settings: Settings,
    options: RebuildOptions,
    collections: Collections,
    on_progress: OnRebuild = lambda _: None,
) -> Rebuild:
    """Decide what is to be live and in which collection, and make that collection.

    Raises SettingsError where nothing was indexed yet, or where a stopped rebuild is of another
    shape; GateRefused where readers would miss a vector.
    """
    on_progress(RebuildProgress("reading what is live"))
    index = settings.index
    store = open_store(settings.state.location, settings.source)
    plan = live_plan(store, read_state(store))
    if not plan.assets:
        raise SettingsError(
            f"Nothing is indexed by the state in {store.location}.",
            remedy="`sensedex run` comes first; or name another state with --state.",
        )
    shown = collections.behind(index.collection)
    if shown is not None and not options.new_vectors:
        check_vectors(collections, index, shown, plan)  # now, not after hours of copying
    shape = shape_of(index, plan)
    records = read_records(store, index.collection, place_of(index))
    stopped = [record for record in records if record.phase is Phase.COPYING]
    if options.fresh:
        for record in stopped:
            _give_up(store, collections, record, is_shown=record.target == shown)
        stopped = []
    if stopped:
        record = _taken_up(store, collections, stopped[-1], shape)
    else:
        taken = collections.names() | {record.target for record in records}
        target = next_name(index.collection, taken)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = RebuildRecord(0, index.collection, place_of(index), target, shape, now)
        record = begin_record(store, record)
    collections.create(record.target, plan.spaces, graph=False)
    return Rebuild(settings, options, store, collections, plan, record, bool(stopped), on_progress)


def _taken_up(
    store: Store, collections: Collections, record: RebuildRecord, shape: Mapping[str, Any]
) -> RebuildRecord:
    check_same_shape(record, shape)
    if record.target not in collections.names():  # what its receipts say is no longer so
        for name in receipts_of(store, record):
            store.delete(name)
    return record


def _give_up(
    store: Store, collections: Collections, record: RebuildRecord, *, is_shown: bool
) -> None:
    """Delete what a stopped rebuild has made, unless it was stopped just after the flip."""
    if not is_shown:
        collections.drop(record.target)
    keep_record(store, replace(record, phase=Phase.SHOWN if is_shown else Phase.GIVEN_UP))


def shape_of(index: IndexSettings, plan: LivePlan) -> Mapping[str, Any]:
    """As JSON gives it back."""
    values = {name: getattr(index, name) for name in SHAPE}
    values["leave_out"] = sorted(index.payload_exclude)
    values["vectors"] = {s.vector_name: [s.dimension, s.fingerprint] for s in plan.spaces}
    return values


def check_same_shape(record: RebuildRecord, shape: Mapping[str, Any]) -> None:
    """Raises SettingsError that names what differs. What a record of an older version does not name
    was as it is by default."""
    fields = IndexSettings.model_fields
    was = {name: fields[name].default for name in SHAPE} | dict(record.shape)
    differ = [n for n in shape if was.get(n) != shape[n]]
    if differ:
        said = ", ".join(
            n if n == "vectors" else f"{n} is {was.get(n)!r} in it, not {shape[n]!r}"
            for n in differ
        )
        raise SettingsError(
            f"A rebuild into {record.target!r} was stopped, and is of another kind: {said}.",
            remedy="Give the same settings to go on with it, or --fresh to delete it and begin "
            "anew.",
        )
