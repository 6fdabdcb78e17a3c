"""Read and write plan files: what a run set out to do, one row an object, as Parquet.

Only rows that ask for something are written down, unchanged ones are only counted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.codec import Columns
from pipeline.errors import StateCorrupt
from pipeline.planning.diff import PlanSummary
from pipeline.records import Action, PlanRow

ROWS_PER_BATCH = 4096

_OBJECT = pa.struct(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.string()),
        ("storage_class", pa.string()),
        ("version_id", pa.string()),
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


def write_plan(path: Path, rows: Iterable[PlanRow], summary: PlanSummary) -> None:
    """Write all rows but the unchanged ones, and the summary, which is complete with the last."""
    asked = (row for row in rows if row.action is not Action.UNCHANGED)
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while chunk := list(itertools.islice(asked, ROWS_PER_BATCH)):
            writer.write_table(plan_table(chunk))
        counts = {"objects": summary.objects, "bytes": summary.bytes}
        writer.add_key_value_metadata({"summary": json.dumps(counts)})


def read_plan(path: Path) -> Iterator[PlanRow]:
    """The rows of a plan's file in their order. Raises StateCorrupt."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH):
                yield from _COLUMNS.records(batch)
    except (ValueError, OSError) as error:  # Arrow's is a ValueError
        raise StateCorrupt(f"{path.name} is not a plan: {error}.", remedy="Run again.") from error
