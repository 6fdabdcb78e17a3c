"""Writes the state of objects: the rows of a whole run, then `current.json`, which names them.

Event runs may replace `current.json` meanwhile (`pipeline.state.increments`): what they have added
stays beside the new file.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import codec
from pipeline.errors import LeaseHeld
from pipeline.local_files import scratch_folder
from pipeline.records import Status
from pipeline.state.objects import (
    CURRENT,
    FOLDER,
    INCREMENTS,
    CurrentFile,
    CurrentState,
    Increment,
    StateRow,
    as_state,
    read_state,
    records_in,
    write_rows,
)
from pipeline.state.store import AlreadyThere, Store, VersionConflict
from pipeline.state.table_file import TableFile, place_ranges

TRIES = 50  # to replace current.json beside others that do: each time one of them got through


def commit_state(
    store: Store,
    previous: CurrentState,
    rows: Iterable[StateRow],
    *,
    sequence: int,
    run_id: str,
    bucket: str,
    prefix: str,
    recipe: str,
    encoder: str,
    on_later: Callable[[Sequence[StateRow]], None] = lambda _: None,
) -> CurrentState:
    """Write the rows, then make them current; the last step of a run. May be repeated.

    `rows` have in them what `previous` has in its increments, which are of earlier runs. Those that
    later event runs have written since stay beside the new file; `on_later` is given their rows
    before they count as seen.

    Raises LeaseHeld where another run has written the whole since `previous` was read.
    """
    now = read_state(store)
    if _check_base(now, previous, sequence, run_id):
        return now  # an earlier try got through, only its answer was lost
    name = f"{FOLDER}{sequence:06d}-{run_id}-{uuid.uuid4().hex[:8]}.parquet"
    with scratch_folder() as folder:
        path = folder / "state.parquet"
        totals = write_rows(path, rows)
        store.put_file(name, path)
        whole = CurrentFile(sequence, run_id, bucket, prefix, recipe, encoder, name, totals)
        try:
            current = _put_in_force(store, previous, whole, path, on_later)
        except LeaseHeld:
            store.delete(name)
            raise
    # Whoever reads the previous state now may finish; older ones nobody reads.
    for old in list(store.list(FOLDER)):
        if old not in (name, previous.state_file):
            store.delete(old)
    drop_increments(store, before_token=sequence, keep=previous.increments)
    return current


def _put_in_force(
    store: Store,
    previous: CurrentState,
    whole: CurrentFile,
    path: Path,
    on_later: Callable[[Sequence[StateRow]], None],
) -> CurrentState:
    """Replace `current.json`, as often as event runs replace it in between. `path` has the rows."""
    seen: set[Increment] = set()
    for _ in range(TRIES):
        now = read_state(store)
        if _check_base(now, previous, whole.sequence, whole.run_id):
            return now
        later = tuple(one for one in now.increments if one.sequence > whole.sequence)
        if fresh := tuple(one for one in later if one not in seen):
            on_later(list(replace(now, increments=fresh).increment_rows()))
            seen.update(fresh)
        changed = list(now.increment_rows(whole.sequence))
        with path.open("rb") as file:
            was = list(records_in(TableFile(file), place_ranges(row.place for row in changed)))
        totals = totals_after(whole.totals, was, changed)
        facts = replace(whole, totals=totals, increments=later)
        if (version := swap_current(store, now.version, facts)) is not None:
            return as_state(store, version, facts)
    raise superseded(now)


def _check_base(now: CurrentState, previous: CurrentState, sequence: int, run_id: str) -> bool:
    """Whether the state is written by this very run. Raises LeaseHeld where another has."""
    if (now.sequence, now.run_id) == (sequence, run_id):
        return True
    earlier = {one for one in now.in_increments() if one < sequence}
    if now.base != previous.base or sequence <= now.sequence or earlier != previous.in_increments():
        raise superseded(now)
    return False


def swap_current(store: Store, version: str | None, facts: CurrentFile) -> str | None:
    """Replace `current.json` where it is still of that version; the new one, or None where it is
    another's by now."""
    values = codec.to_json(facts)
    if not facts.increments:  # as it was before there were any
        del values["increments"]
    data = json.dumps(values, ensure_ascii=True, sort_keys=True, indent=1).encode()
    try:
        if version is None:
            return store.create(CURRENT, data)
        return store.replace(CURRENT, data, version)
    except (AlreadyThere, VersionConflict):
        found = store.read(CURRENT)  # ours, where a lost answer made the client send it twice
        return found.version if found is not None and found.data == data else None


def drop_increments(store: Store, *, before_token: int, keep: Iterable[Increment]) -> None:
    """Delete files of increments that runs before that token wrote, but for those to keep."""
    kept = {one.state_file for one in keep}
    for name in list(store.list(INCREMENTS)):
        if name not in kept and int(name.removeprefix(INCREMENTS).partition("-")[0]) < before_token:
            store.delete(name)


def totals_after(
    totals: Mapping[str, int], was: Iterable[StateRow], now: Iterable[StateRow]
) -> dict[str, int]:
    """The totals when the rows of some objects, as they were, have become others; a row that says
    `removed` counts for nothing."""
    counts = Counter(totals)
    for sign, rows in ((-1, was), (1, now)):
        for row in rows:
            if row.status is not Status.REMOVED:
                counts["objects"] += sign
                counts["segments"] += sign * row.segments
                counts["decoded_ms"] += sign * row.decoded_ms
                counts[f"status.{row.status}"] += sign
    return {n: count for n, count in counts.items() if count or not n.startswith("status.")}


def superseded(now: CurrentState) -> LeaseHeld:
    """The error of who comes too late to write."""
    return LeaseHeld(
        f"Run {now.run_id} (sequence {now.sequence}) has written the state in the meantime.",
        code="state_superseded",
        remedy="Nothing of this run is lost: run again.",
    )
