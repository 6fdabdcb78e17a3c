"""Read and write plan files: what a run set out to do, one row an object, as Parquet.

Only rows that ask for something are written down, unchanged ones are only counted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StateCorrupt
from pipeline.planning.diff import PlanSummary
from pipeline.records import Action, MediaObject, PlanRow

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


def plan_table(rows: Sequence[PlanRow]) -> pa.Table:
    """The rows as an Arrow table; `plan_row_from` takes a row of its `to_pylist()` back."""
    objects = [row.object for row in rows]
    sidecars = [[_cells(s) for s in row.sidecars] if row.sidecars else None for row in rows]
    columns = [
        pa.array([row.action.value for row in rows], pa.string()),
        pa.StructArray.from_arrays(
            [pa.array([getattr(o, f.name) for o in objects], f.type) for f in _OBJECT],
            fields=list(_OBJECT),
        ),
        *(
            pa.array([getattr(row, name) for row in rows], pa.string())
            for name in ("asset_id", "generation", "reason")
        ),
        pa.array(sidecars, _SCHEMA.field("sidecars").type),
        pa.array([row.previous_generation for row in rows], pa.string()),
        pa.array([row.shard for row in rows], pa.int32()),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _cells(obj: MediaObject) -> dict[str, Any]:
    return {field.name: getattr(obj, field.name) for field in _OBJECT}


def plan_row_from(row: Mapping[str, Any]) -> PlanRow:
    values = dict(row)
    values["action"] = Action(values["action"])
    values["object"] = MediaObject(**values["object"])
    values["sidecars"] = tuple(MediaObject(**sidecar) for sidecar in values["sidecars"] or ())
    return PlanRow(**values)


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
                yield from map(plan_row_from, batch.to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise StateCorrupt(f"{path.name} is not a plan: {error}.", remedy="Run again.") from error
