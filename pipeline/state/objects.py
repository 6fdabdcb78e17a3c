"""Reads the state of objects: a Parquet file by bucket and key, increments beside it,
`current.json` that names them.

    objects/<sequence>-<run>-<nonce>.parquet   one row an object
    increments/<sequence>-<run>-<nonce>.parquet   rows of event runs, later than those
    current.json                               written by `commit.py` and `increments.py`

Rows are read and written in batches, so that 10^6 objects need a few megabytes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import codec
from pipeline.codec import Columns
from pipeline.errors import StateCorrupt
from pipeline.records import Failure, MediaType, ObjectOutcome, Place, Status
from pipeline.state.merge import newest_of
from pipeline.state.store import Store
from pipeline.state.table_file import PlaceRange, TableFile, opened_in

CURRENT = "current.json"
FOLDER = "objects/"
INCREMENTS = "increments/"
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
class Increment:
    """Rows that event runs have written beside the whole. `sequence` and `run_id` are of the run
    that wrote the file, `sequences` the tokens of all runs whose rows are in it, in their order."""

    sequence: int
    run_id: str
    state_file: str
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """`current.json`, as it is stored. `bucket` names several with commas between. `totals` counts
    `objects`, `segments`, `decoded_ms` and `status.<status>`, over the file and its `increments`
    together; these have higher sequences than the file, and each a higher one than those before
    it."""

    sequence: int = 0
    run_id: str = ""
    bucket: str = ""
    prefix: str = ""
    recipe: str = ""
    encoder: str = ""
    state_file: str | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    increments: tuple[Increment, ...] = ()

    @property
    def newest(self) -> int:
        """The highest token of a run that has written something of the state."""
        return max([self.sequence, *(one.sequence for one in self.increments)])

    @property
    def base(self) -> tuple[int, str, str | None]:
        """By which the whole is known, whatever increments lie beside it."""
        return self.sequence, self.run_id, self.state_file

    def in_increments(self) -> frozenset[int]:
        """The tokens of the runs whose rows the increments have."""
        return frozenset(itertools.chain.from_iterable(one.sequences for one in self.increments))


@dataclass(frozen=True, slots=True)
class CurrentState(CurrentFile):
    """What `current.json` says; sequence 0 and no rows where there is none yet.

    `version` is the store's tag of `current.json`.
    """

    store: Store = field(kw_only=True, repr=False)
    version: str | None = None

    def rows(self) -> Iterator[StateRow]:
        """The rows in the order of bucket and key, from the start. Raises StateCorrupt."""
        whole = iter(()) if self.state_file is None else self._read(self.state_file)
        if not self.increments:
            return whole
        return newest_of([whole, *(self._read(one.state_file) for one in self.increments)])

    def rows_in(self, ranges: Sequence[PlaceRange]) -> Iterator[StateRow]:
        """Those with a place in one of the ranges, which are apart and in their order; a file is
        not read as a whole. Raises StateCorrupt."""
        names = [one.state_file for one in self.increments]
        names += [] if self.state_file is None else [self.state_file]
        return newest_of([_rows_in(self.store, name, self.bucket, ranges) for name in names])

    def increment_rows(self, after_token: int = 0) -> Iterator[StateRow]:
        """The rows of the increments with a higher sequence, tombstones among them."""
        later = [one.state_file for one in self.increments if one.sequence > after_token]
        return newest_of([self._read(name) for name in later], tombstones=True)

    def _read(self, name: str) -> Iterator[StateRow]:
        return _read_rows(self.store, name, self.bucket)


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
    return as_state(store, found.version, facts)


def as_state(store: Store, version: str, facts: CurrentFile) -> CurrentState:
    """The state that `current.json` says, read or just written."""
    return CurrentState(store=store, version=version, **_values(facts))


def facts_of(state: CurrentState) -> CurrentFile:
    """What of a state is stored."""
    return CurrentFile(**_values(state))


def _values(facts: CurrentFile) -> dict[str, Any]:
    return {field.name: getattr(facts, field.name) for field in fields(CurrentFile)}


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


def records_in(
    table: TableFile, ranges: Sequence[PlaceRange], bucket: str = ""
) -> Iterator[StateRow]:
    """As `CurrentState.rows_in`, of a file that is open. Raises ValueError."""
    missing = _missing(table.schema, bucket)
    for batch in table.batches(ranges):
        yield from _COLUMNS.records(batch, **missing)


def _read_rows(store: Store, name: str, bucket: str) -> Iterator[StateRow]:
    """`bucket` is that of the rows of a file that names none."""
    with (
        _said_of(store, name),
        store.local_copy(name) as path,
        pq.ParquetFile(path, pre_buffer=False) as file,  # it would keep the whole state
    ):
        missing = _missing(file.schema_arrow, bucket)
        for batch in file.iter_batches(ROWS_PER_BATCH):
            yield from _COLUMNS.records(batch, **missing)


def _rows_in(
    store: Store, name: str, bucket: str, ranges: Sequence[PlaceRange]
) -> Iterator[StateRow]:
    with _said_of(store, name), opened_in(store, name, bucket) as table:
        yield from records_in(table, ranges, bucket)


def _missing(schema: pa.Schema, bucket: str) -> dict[str, str]:
    """What the columns of a file lack of a row. Raises ValueError."""
    if schema.equals(_SCHEMA_1):
        return {"bucket": bucket}
    if not schema.equals(_SCHEMA):
        raise ValueError("it has columns of another version")
    return {}


@contextmanager
def _said_of(store: Store, name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:  # Arrow's is a ValueError
        what = f"{name} in {store.location} cannot be read: {error}."
        raise StateCorrupt(what, remedy=_REMEDY) from error
