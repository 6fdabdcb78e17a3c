"""Deletes from the state location the embeddings that nothing refers to any more.

Each changed object leaves its earlier embeddings behind in the Parquet of an earlier run, so that
without this the state grows with every change. A file is needed while the state names it, or while
it holds the generation that an object which failed since goes on having in the index. What is not
is marked first and deleted by a later sweep, some hours on: a rebuild that began before may still
read it. Plans, receipts and reports stay: they are small, and a rebuild goes by them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.errors import StateCorrupt
from pipeline.rebuild.live_set import needed_files
from pipeline.settings import Settings
from pipeline.state.objects import read_state
from pipeline.state.receipts import RUNS, new_run_id
from pipeline.state.run_leases import hold_both_leases
from pipeline.state.store import AlreadyThere, Store, VersionConflict, open_store

MARKS = "sweep.json"
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Counts of files of embeddings. `waiting` are marked and not yet old enough, `marked` of them
    since now; `dry_run`: nothing was deleted or marked, the counts say what would be."""

    needed: int
    deleted: int
    waiting: int
    marked: int
    dry_run: bool


def sweep_state(
    settings: Settings, *, dry_run: bool = False, now_s: float | None = None
) -> SweepResult:
    """Under both leases, so that no run commits meanwhile, nor an event run. What stopped runs have
    committed is the next run's and is left alone, and so is what lies beside the whole.

    Raises LeaseHeld, StateCorrupt, StoreUnavailable.
    """
    now = time.time() if now_s is None else now_s
    store = open_store(settings.state.location, settings.source)
    if dry_run:
        return _swept(settings, store, now, dry_run=True)
    after = read_state(store).newest
    with hold_both_leases(store, settings.state, new_run_id(), after_token=after):
        return _swept(settings, store, now, dry_run=False)


def _swept(settings: Settings, store: Store, now_s: float, *, dry_run: bool) -> SweepResult:
    state = read_state(store)
    needed = needed_files(store, state)
    unneeded = [name for name in data_files(store.list(RUNS), state.sequence) if name not in needed]
    before = _marks(store)
    marks = {name: before.get(name, now_s) for name in unneeded}
    oldest_s = now_s - settings.state.superseded_hours * HOUR_S
    due = [name for name, marked_s in marks.items() if marked_s <= oldest_s]
    if not dry_run:
        for name in due:
            store.delete(name)
        _keep_marks(store, {name: marks[name] for name in marks if name not in set(due)})
    new = sum(name not in before for name in marks)
    return SweepResult(len(needed), len(due), len(marks) - len(due), new, dry_run)


def data_files(names: Iterable[str], up_to: int) -> Iterator[str]:
    """The names of embeddings among those of runs, of the runs up to this sequence."""
    for name in names:
        path = PurePosixPath(name)
        run = path.parts[1] if len(path.parts) == 4 else ""
        if path.parent.name == "shards" and int(run.partition("-")[0]) <= up_to:
            yield name


def _marks(store: Store) -> dict[str, float]:
    found = store.read(MARKS)
    if found is None:
        return {}
    try:
        marks = json.loads(found.data)
        return {str(name): float(since_s) for name, since_s in marks.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise StateCorrupt(
            f"{MARKS} in {store.location} is not a list of marked files: {error}.",
            remedy=f"Remove {MARKS}: the next sweep marks anew.",
        ) from error


def _keep_marks(store: Store, marks: dict[str, float]) -> None:
    data = json.dumps(marks, sort_keys=True).encode()
    found = store.read(MARKS)
    with suppress(AlreadyThere, VersionConflict):  # the lease lets in nobody else
        if found is None:
            store.create(MARKS, data)
        else:
            store.replace(MARKS, data, found.version)
