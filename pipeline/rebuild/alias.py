"""Which collection the alias shows: names, the way back, and the end of what is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import SettingsError
from pipeline.index.collections import Collections
from pipeline.index.errors import place_of
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.copy import OnCopied, fill, take_out_extras
from pipeline.rebuild.live_set import live_plan
from pipeline.rebuild.record import Phase, RebuildRecord, keep_record, read_records
from pipeline.settings import Settings
from pipeline.state.objects import read_state
from pipeline.state.run_leases import hold_both_leases, hold_run_lease
from pipeline.state.store import Store, open_store


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """`points` were loaded into the old collection first: what runs wrote since the flip."""

    alias: str
    shows: str
    kept: str
    points: int
    same_spaces: bool


def next_name(alias: str, taken: set[str]) -> str:
    """`<alias>-<n>`, n larger than any that is taken; never the 1 that a first run makes."""
    numbers = [
        int(rest)
        for name in taken
        if (rest := name.removeprefix(f"{alias}-")) != name and rest.isdecimal()
    ]
    return f"{alias}-{max([1, *numbers]) + 1}"


def roll_back(
    settings: Settings, collections: Collections, on_copied: OnCopied = lambda _: None
) -> RollbackResult:
    """Show the collection again that the last rebuild replaced, made true to the state first.

    Raises SettingsError where there is none, LeaseHeld.
    """
    index, alias = settings.index, settings.index.collection
    store = open_store(settings.state.location, settings.source)
    state = read_state(store)
    with hold_both_leases(store, settings.state, "rollback", after_token=state.newest) as lease:
        record, previous = _replaced(store, collections, settings)
        state = read_state(store)
        points = 0
        if record.same_spaces and state.newest != record.state_sequence:
            old = VectorIndex(collections.connection, index, previous)
            plan = live_plan(store, state)
            points = fill(old, store, plan, on_copied=on_copied).points
            take_out_extras(old, plan)
        lease.confirm()
        collections.show(alias, previous)
        keep_record(store, replace(record, phase=Phase.ROLLED_BACK))
    return RollbackResult(alias, previous, record.target, points, record.same_spaces)


def _replaced(
    store: Store, collections: Collections, settings: Settings
) -> tuple[RebuildRecord, str]:
    """The rebuild that the alias shows, and the collection that it took the place of."""
    index = settings.index
    now = collections.behind(index.collection)
    records = read_records(store, index.collection, place_of(index))
    for record in reversed(records):
        previous = record.previous
        if record.target == now and previous is not None:
            if previous in collections.names():
                return record, previous
            raise _no_way_back(index.collection, f"{previous} was deleted")
    raise _no_way_back(index.collection, f"{now} took no other's place")


def _no_way_back(alias: str, why: str) -> SettingsError:
    return SettingsError(
        f"There is nothing to roll {alias!r} back to: {why}.",
        remedy="`sensedex rebuild` makes a collection anew.",
    )


def old_collections(settings: Settings, collections: Collections) -> list[str]:
    """The collections of finished rebuilds that no alias shows; none that is being filled."""
    index = settings.index
    store = open_store(settings.state.location, settings.source)
    records = read_records(store, index.collection, place_of(index))
    known = {name for record in records for name in (record.target, record.previous) if name}
    filling = {record.target for record in records if record.phase is Phase.COPYING}
    there = known & collections.names() - filling
    return sorted(name for name in there if not collections.aliases_of(name))


def drop(settings: Settings, collections: Collections, names: Sequence[str]) -> None:
    """Delete collections, but for one that an alias shows by now. Raises LeaseHeld."""
    store = open_store(settings.state.location, settings.source)
    after = read_state(store).newest
    with hold_run_lease(store, settings.state, "drop-old", after_token=after):
        for name in names:
            if not collections.aliases_of(name):
                collections.drop(name)
