"""Adds the rows of an event run to the state, beside the whole: an increment.

    increments/<sequence>-<run>-<nonce>.parquet   rows by bucket and key; `removed` is a tombstone
    current.json                                  replaced last, with one increment more

Nothing of the whole is read but the rows of the same objects, so that a few of them cost the same
whatever the state has. The next whole run merges what lay beside the state when it began; more than
`MAX_INCREMENTS` are made one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from pipeline import codec
from pipeline.local_files import scratch_folder
from pipeline.state.commit import TRIES, drop_increments, superseded, swap_current, totals_after
from pipeline.state.merge import newest_of
from pipeline.state.objects import (
    INCREMENTS,
    CurrentState,
    Increment,
    StateRow,
    as_state,
    facts_of,
    read_state,
    write_rows,
)
from pipeline.state.store import Store
from pipeline.state.table_file import place_ranges

MAX_INCREMENTS = 16


@dataclass(frozen=True, slots=True)
class About:
    """What `current.json` says beside rows, for a state that no whole run has written yet."""

    bucket: str
    prefix: str
    recipe: str
    encoder: str


def commit_increment(
    previous: CurrentState,
    rows: Sequence[StateRow],
    *,
    sequence: int,
    run_id: str,
    about: About,
    before_swap: Callable[[], None],
    on_new_whole: Callable[[], None],
    fence: int = 0,
) -> CurrentState:
    """Make the rows, one an object and in any order, part of the state. May be repeated.

    `before_swap` is called before each try, and raises where the lease is lost. `on_new_whole` is
    called where another whole was written since `previous` was read: all that its run will ever
    load is in the index by then. Increments of runs before `fence` are left as they are, since a
    run that has that token merges them.

    Raises LeaseHeld where the state is of a later run.
    """
    store, rows = previous.store, sorted(rows, key=attrgetter("place"))
    places = place_ranges(row.place for row in rows)
    own = Increment(sequence, run_id, _put(store, sequence, run_id, rows), (sequence,))
    for _ in range(TRIES):
        now = read_state(store)
        if sequence in now.in_increments():
            return now  # an earlier try got through, only its answer was lost
        if sequence <= now.newest:
            break
        if now.base != previous.base:
            previous = now
            on_new_whole()
        before_swap()
        increments = _with(now, own, rows, fence)
        totals = totals_after(now.totals, now.rows_in(places), rows)
        facts = replace(facts_of(now), totals=totals, increments=increments)
        if now.version is None:
            facts = replace(facts, **codec.to_json(about))
        if (version := swap_current(store, now.version, facts)) is not None:
            if len(increments) <= len(now.increments):
                # Whoever reads what was in force before may finish.
                keep = (*increments, *now.increments)
                drop_increments(store, before_token=sequence, keep=keep)
            return as_state(store, version, facts)
    store.delete(own.state_file)
    raise superseded(now)


def _with(
    now: CurrentState, own: Increment, rows: Iterable[StateRow], fence: int
) -> tuple[Increment, ...]:
    """The increments and one more; too many of them as one."""
    if len(now.increments) < MAX_INCREMENTS:
        return (*now.increments, own)
    merged = tuple(one for one in now.increments if one.sequence > fence)
    if len(merged) < MAX_INCREMENTS // 2:
        return (*now.increments, own)  # those that a run is about to merge stay what they are
    kept = tuple(one for one in now.increments if one.sequence <= fence)
    together = replace(now, increments=merged).increment_rows()
    name = _put(now.store, own.sequence, own.run_id, newest_of([together, rows], tombstones=True))
    sequences = sorted({own.sequence}.union(*(one.sequences for one in merged)))
    return (*kept, Increment(own.sequence, own.run_id, name, tuple(sequences)))


def _put(store: Store, sequence: int, run_id: str, rows: Iterable[StateRow]) -> str:
    name = f"{INCREMENTS}{sequence:06d}-{run_id}-{uuid.uuid4().hex[:8]}.parquet"
    with scratch_folder() as folder:
        path = folder / "increment.parquet"
        write_rows(path, rows)
        store.put_file(name, path)
    return name
