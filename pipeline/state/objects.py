"""Reads and writes the state of objects: Parquet by bucket and key, and `current.json` naming it.

    objects/<sequence>-<run>-<nonce>.parquet   written first, under a name that nobody else has
    current.json                               replaced last, only if it is still what was read

Rows are read and written in batches, so that 10^6 objects need a few megabytes.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import codec
from pipeline.codec import Columns
from pipeline.errors import LeaseHeld, StateCorrupt
from pipeline.local_files import scratch_folder
from pipeline.records import Failure, MediaType, ObjectOutcome, Place, Status
from pipeline.state.store import AlreadyThere, Store, VersionConflict

T = TypeVar("T")

CURRENT = "current.json"
FOLDER = "objects/"
ROWS_PER_BATCH = 8192

_REMEDY = "Restore the state location from a copy, or `sensedex clean` and index anew."
_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("media_type", pa.string()),
        pa.field("segments", pa.int32(), nullable=False),
        pa.field("decoded_ms", pa.int64(), nullable=False),
        pa.field("sidecars", pa.list_(pa.string())),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("data_file", pa.string()),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("failure_stage", pa.string()),
        pa.field("failure_code", pa.string()),
        pa.field("failure_retryable", pa.bool_()),
        pa.field("failure_message", pa.string()),
        pa.field("failure_remedy", pa.string()),
        pa.field("bucket", pa.string(), nullable=False),
    ],
    metadata={"format": "sensedex.state/2"},
)
# Of one bucket, which `current.json` names.
_SCHEMA_1 = _SCHEMA.remove(len(_SCHEMA) - 1)


@dataclass(frozen=True, slots=True)
class StateRow:
    """How an object ended the last run that touched it.

    `sequence` is that run's, `data_file` is where its embeddings are, `recipe` the digest of the
    recipe that it was indexed by.
    """

    key: str
    asset_id: str
    generation: str
    etag: str
    version_id: str | None
    size_bytes: int
    status: Status
    media_type: MediaType | None
    segments: int
    decoded_ms: int
    sidecars: tuple[str, ...]
    sequence: int
    data_file: str | None
    recipe: str
    failure: Failure | None = None
    bucket: str = ""

    @property
    def place(self) -> Place:
        return self.bucket, self.key

    @classmethod
    def of(
        cls,
        outcome: ObjectOutcome,
        *,
        sequence: int,
        data_file: str | None,
        recipe: str,
        bucket: str = "",
    ) -> StateRow:
        """`bucket` is that of an outcome which names none."""
        values: list[Any] = [*_shared(outcome), sequence]
        values += [data_file if outcome.segments else None, recipe, outcome.failure]
        values += [outcome.bucket or bucket]
        return cls(*values)


_COLUMNS = Columns(StateRow, _SCHEMA)
# The fields before `sequence` are an outcome's, by the same names.
_shared = attrgetter(*itertools.takewhile(lambda name: name != "sequence", StateRow.__slots__))


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """`current.json`, as it is stored. `bucket` names several with commas between. `totals` counts
    `objects`, `segments`, `decoded_ms` and `status.<status>`."""

    sequence: int = 0
    run_id: str = ""
    bucket: str = ""
    prefix: str = ""
    recipe: str = ""
    encoder: str = ""
    state_file: str | None = None
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CurrentState(CurrentFile):
    """What `current.json` says; sequence 0 and no rows where there is none yet.

    `version` is the store's tag of `current.json`.
    """

    store: Store = field(kw_only=True, repr=False)
    version: str | None = None

    def rows(self) -> Iterator[StateRow]:
        """The rows in the order of bucket and key, from the start. Raises StateCorrupt."""
        if self.state_file is None:
            return iter(())
        return _read_rows(self.store, self.state_file, self.bucket)


def read_state(store: Store) -> CurrentState:
    """Raises StateCorrupt for a `current.json` that is not one."""
    found = store.read(CURRENT)
    if found is None:
        return CurrentState(store=store)
    try:
        facts = codec.from_bytes(CurrentFile, found.data)
    except ValueError as error:
        what = f"{CURRENT} in {store.location} is not a state: {error}."
        raise StateCorrupt(what, remedy=_REMEDY) from error
    return CurrentState(store=store, version=found.version, **codec.to_json(facts))


def merge_state(
    old: Iterable[StateRow], fresh: Iterable[StateRow], gone: Iterable[Place] = ()
) -> Iterator[StateRow]:
    """The new state: `fresh` rows take the place of old ones of the same bucket and key, those that
    are `gone` leave.

    All three come sorted. Raises ValueError where one does not.
    """
    leaving = (place for place, _ in _ascending(gone, lambda place: place, "gone objects"))
    leaves = next(leaving, None)
    by_place = attrgetter("place")
    merged = _newest(
        _ascending(old, by_place, "old rows"), _ascending(fresh, by_place, "fresh rows")
    )
    for place, row in merged:
        while leaves is not None and leaves < place:
            leaves = next(leaving, None)
        if place != leaves:
            yield row


def _newest(
    old: Iterator[tuple[Place, StateRow]], fresh: Iterator[tuple[Place, StateRow]]
) -> Iterator[tuple[Place, StateRow]]:
    was, now = next(old, None), next(fresh, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was[0] < now[0]):
            assert was is not None
            yield was
            was = next(old, None)
        else:
            yield now
            if was is not None and was[0] == now[0]:
                was = next(old, None)
            now = next(fresh, None)


def _ascending(
    items: Iterable[T], place_of: Callable[[T], Place], what: str
) -> Iterator[tuple[Place, T]]:
    last = ("", "")
    for item in items:
        place = place_of(item)
        if place <= last:
            raise ValueError(f"{what} are not sorted: {place[1]!r} comes after {last[1]!r}")
        last = place
        yield place, item


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
) -> CurrentState:
    """Write the rows, then make them current; the last step of a run. May be repeated.

    Raises LeaseHeld where another run has written the state since `previous` was read.
    """
    now = read_state(store)
    if (now.sequence, now.run_id) == (sequence, run_id):
        return now  # an earlier try got through, only its answer was lost
    if now.version != previous.version or sequence <= now.sequence:
        raise _superseded(now)
    name = f"{FOLDER}{sequence:06d}-{run_id}-{uuid.uuid4().hex[:8]}.parquet"
    with scratch_folder() as folder:
        path = folder / "state.parquet"
        totals = write_rows(path, rows)
        store.put_file(name, path)
    facts = CurrentFile(sequence, run_id, bucket, prefix, recipe, encoder, name, totals)
    data = codec.to_bytes(facts, sort_keys=True, indent=1)
    try:
        if previous.version is None:
            version = store.create(CURRENT, data)
        else:
            version = store.replace(CURRENT, data, previous.version)
    except (AlreadyThere, VersionConflict) as error:
        now = read_state(store)
        if (now.sequence, now.run_id) != (sequence, run_id):
            store.delete(name)
            raise _superseded(now) from error
        version = now.version or ""
    # Whoever reads the previous state now may finish; older ones nobody reads.
    for old in list(store.list(FOLDER)):
        if old not in (name, previous.state_file):
            store.delete(old)
    return CurrentState(store=store, version=version, **codec.to_json(facts))


def _superseded(now: CurrentState) -> LeaseHeld:
    return LeaseHeld(
        f"Run {now.run_id} (sequence {now.sequence}) has written the state in the meantime.",
        code="state_superseded",
        remedy="Nothing of this run is lost: run again.",
    )


def write_rows(path: Path, rows: Iterable[StateRow]) -> dict[str, int]:
    """Write the file; returns the totals over its rows."""
    totals: Counter[str] = Counter(objects=0, segments=0, decoded_ms=0)
    iterator = iter(rows)
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while chunk := list(itertools.islice(iterator, ROWS_PER_BATCH)):
            batch = _COLUMNS.batch(chunk)
            writer.write_batch(batch)
            totals["objects"] += len(chunk)
            for name in ("segments", "decoded_ms"):
                totals[name] += pc.sum(batch.column(name)).as_py()
            totals.update(f"status.{status}" for status in batch.column("status").to_pylist())
    return dict(totals)


def _read_rows(store: Store, name: str, bucket: str) -> Iterator[StateRow]:
    """`bucket` is that of the rows of a file that names none."""
    try:
        with store.local_copy(name) as path, pq.ParquetFile(path) as file:
            missing = {"bucket": bucket} if file.schema_arrow.equals(_SCHEMA_1) else {}
            if not missing and not file.schema_arrow.equals(_SCHEMA):
                raise StateCorrupt(f"{name} has columns of another version.", remedy=_REMEDY)
            for batch in file.iter_batches(ROWS_PER_BATCH):
                yield from _COLUMNS.records(batch, **missing)
    except (ValueError, OSError) as error:  # Arrow's is a ValueError
        what = f"{name} in {store.location} cannot be read: {error}."
        raise StateCorrupt(what, remedy=_REMEDY) from error
