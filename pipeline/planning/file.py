"""Read and write plan files: what a run set out to do, one row an object, as Parquet.

Only rows that ask for something are written down, unchanged ones are only counted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.codec import Columns
from pipeline.errors import StateCorrupt
from pipeline.planning.diff import PlanSummary
from pipeline.records import Action, PlanRow

ROWS_PER_BATCH = 4096
# Of each row group the writer holds what the footer is to say, 40 kB, to the end.
ROWS_PER_GROUP = 16 * ROWS_PER_BATCH
GROUPS_KEPT = 2

_OBJECT = pa.struct(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.string()),
        ("storage_class", pa.string()),
        ("version_id", pa.string()),
        ("metadata", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("action", pa.string()),
        ("object", _OBJECT),
        ("asset_id", pa.string()),
        ("generation", pa.string()),
        ("reason", pa.string()),
        ("sidecars", pa.list_(_OBJECT)),
        ("previous_generation", pa.string()),
        ("shard", pa.int32()),
    ]
)


_COLUMNS = Columns(PlanRow, _SCHEMA)


def plan_table(rows: Sequence[PlanRow]) -> pa.Table:
    """The rows as an Arrow table, from which `rows_of_table` takes them back."""
    return pa.Table.from_batches([_COLUMNS.batch(rows)])


def rows_of_table(table: pa.Table) -> Iterator[PlanRow]:
    """The planned objects of a table that `plan_table` made, in their order."""
    for batch in table.to_batches():
        yield from _COLUMNS.records(batch)


def read_sizes(path: Path) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """(shards, sizes in bytes) of the rows in batches, and nothing else of them. Raises
    StateCorrupt."""
    with _opened(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH * 16, columns=["shard", "object.size_bytes"]):
            size = batch.column("object").field("size_bytes")
            yield batch.column("shard").to_numpy(), size.to_numpy()


class PlanFile:
    """A plan's file, of which some rows are read at a time. It stays open, and its name may go. Row
    groups that were read last are kept: who asks next mostly asks for what follows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _said_of(path):
            self._file = pq.ParquetFile(path.open("rb"), pre_buffer=False)
            about = self._file.metadata
            lengths = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self._begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._group = lru_cache(GROUPS_KEPT)(self._read_group)

    def rows(self, first: int, count: int) -> pa.Table:
        """Rows `first` to `first + count`, in the columns of `plan_table`. Raises StateCorrupt."""
        begin = int(np.searchsorted(self._begins, first, "right")) - 1
        end = int(np.searchsorted(self._begins, first + count, "left"))
        table = pa.concat_tables([self._group(group) for group in range(begin, end)])
        return table.slice(first - int(self._begins[begin]), count)

    def _read_group(self, group: int) -> pa.Table:
        with _said_of(self._path):
            return self._file.read_row_group(group)


def write_plan(path: Path, rows: Iterable[PlanRow], summary: PlanSummary) -> None:
    """Write all rows but the unchanged ones, and the summary, which is complete with the last."""
    asked = (row for row in rows if row.action is not Action.UNCHANGED)
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while group := _next_group(asked):
            writer.write_table(pa.concat_tables(group), row_group_size=ROWS_PER_GROUP)
        counts = {"objects": summary.objects, "bytes": summary.bytes}
        writer.add_key_value_metadata({"summary": json.dumps(counts)})


def _next_group(rows: Iterator[PlanRow]) -> list[pa.Table]:
    """A row group, some rows at a time: as Arrow tables they take a tenth of the memory."""
    chunks = iter(lambda: list(itertools.islice(rows, ROWS_PER_BATCH)), [])
    return [
        plan_table(chunk) for chunk in itertools.islice(chunks, ROWS_PER_GROUP // ROWS_PER_BATCH)
    ]


def read_plan(path: Path) -> Iterator[PlanRow]:
    """The rows of a plan's file in their order. Raises StateCorrupt."""
    with _opened(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH):
            yield from _COLUMNS.records(batch)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    # `pre_buffer` keeps all that was read, to the last row: the whole file in memory.
    with _said_of(path), pq.ParquetFile(path, pre_buffer=False) as file:
        yield file


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:  # Arrow's is a ValueError
        raise StateCorrupt(f"{path.name} is not a plan: {error}.", remedy="Run again.") from error
