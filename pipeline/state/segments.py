"""The file of a shard's embeddings: one row a segment, one column a vector, payload as JSON.

It is the source of truth of the index: a collection can be filled from these files alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.records import SegmentRow, VectorSpace

ROWS_PER_GROUP = 1024
FORMAT = "sensedex.segments/1"

_FIXED = [
    pa.field("point_id", pa.string(), nullable=False),
    pa.field("asset_id", pa.string(), nullable=False),
    pa.field("generation", pa.string(), nullable=False),
    pa.field("segment_index", pa.int32(), nullable=False),
    pa.field("start_ms", pa.int64(), nullable=False),
    pa.field("end_ms", pa.int64(), nullable=False),
    pa.field("payload", pa.string(), nullable=False),
]


@dataclass(frozen=True, slots=True)
class SegmentBatch:
    """Rows as the loader wants them.

    `vectors` maps a name to (indices, matrix): row `indices[i]` of the batch has the vector
    `matrix[i]`; matrix is (n, D) float32, read-only, and a view of Arrow's memory where every row
    of the batch has the vector.
    """

    point_ids: list[str]
    asset_ids: list[str]
    generations: list[str]
    vectors: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
    payloads: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.point_ids)


def segment_schema(spaces: Sequence[VectorSpace], facts: Mapping[str, str]) -> pa.Schema:
    """The columns of a shard's Parquet file: one of vectors for each space; `facts` go to its
    metadata."""
    vectors = [
        pa.field(space.vector_name, pa.list_(pa.float32(), space.dimension)) for space in spaces
    ]
    described = json.dumps([codec.to_json(space) for space in spaces])
    metadata = {"format": FORMAT, "spaces": described, **facts}
    return pa.schema([*_FIXED, *vectors], metadata=metadata)


def write_segments(
    path: Path,
    rows: Iterable[SegmentRow],
    spaces: Sequence[VectorSpace],
    facts: Mapping[str, str] | None = None,
) -> str:
    """Write the rows as they come, a row group at a time; returns the file's SHA-256 in hex.

    `facts` (run, recipe) are kept in the file's metadata. Raises ValueError for a vector that is
    not of its space's dimension, or of no space at all.
    """
    schema = segment_schema(spaces, facts or {})
    iterator = iter(rows)
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        # Ids, payload fields and vectors do not repeat within a file; these two do.
        use_dictionary=["asset_id", "generation"],
        write_statistics=["asset_id", "segment_index"],
    ) as writer:
        while group := list(itertools.islice(iterator, ROWS_PER_GROUP)):
            writer.write_table(_table(group, spaces, schema), row_group_size=ROWS_PER_GROUP)
    return file_sha256(path)


def _table(
    rows: Sequence[SegmentRow], spaces: Sequence[VectorSpace], schema: pa.Schema
) -> pa.Table:
    names = {space.vector_name for space in spaces}
    for row in rows:
        if not names >= row.vectors.keys():
            raise ValueError(f"{sorted(row.vectors.keys() - names)} is not a vector of this file")
    # Not by `codec.Columns`: payloads are JSON here, and a vector has a column of its own type.
    columns = {
        "point_id": [row.point_id for row in rows],
        "asset_id": [row.asset_id for row in rows],
        "generation": [row.generation for row in rows],
        "segment_index": [row.segment.index for row in rows],
        "start_ms": [row.segment.start_ms for row in rows],
        "end_ms": [row.segment.end_ms for row in rows],
        "payload": [json.dumps(row.payload, ensure_ascii=True) for row in rows],
    }
    columns |= {space.vector_name: _vector_column(rows, space) for space in spaces}
    return pa.Table.from_pydict(columns, schema=schema)


def _vector_column(rows: Sequence[SegmentRow], space: VectorSpace) -> pa.Array:
    values = np.zeros((len(rows), space.dimension), np.float32)
    missing = np.zeros(len(rows), bool)
    for index, row in enumerate(rows):
        vector = row.vectors.get(space.vector_name)
        if vector is None:
            missing[index] = True
        elif np.shape(vector) != (space.dimension,):
            raise ValueError(
                f"{space.vector_name} of {row.point_id} has shape {np.shape(vector)}, "
                f"not ({space.dimension},)"
            )
        else:
            values[index] = vector
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.reshape(-1)), space.dimension, mask=pa.array(missing)
    )


def count_row_groups(path: Path) -> int:
    """Raises StateCorrupt."""
    with _opened(path) as file:
        return int(file.metadata.num_row_groups)


def read_segments(
    path: Path,
    batch_rows: int = 256,
    *,
    row_groups: Sequence[int] | None = None,
    only: Collection[str] | None = None,
) -> Iterator[SegmentBatch]:
    """The rows in batches of at most `batch_rows`, of all row groups or of some; with `only`, those
    of these assets. Raises StateCorrupt for what is no such file."""
    with _opened(path) as file:
        vectors = [space.vector_name for space in _spaces(path, file.schema_arrow)]
        columns = ["point_id", "asset_id", "generation", "payload", *vectors]
        try:
            for batch in file.iter_batches(batch_rows, row_groups, columns=columns):
                if only is not None:
                    batch = _rows_of_assets(batch, only)
                if len(batch) == 0:
                    continue
                yield SegmentBatch(
                    batch.column("point_id").to_pylist(),
                    batch.column("asset_id").to_pylist(),
                    batch.column("generation").to_pylist(),
                    {name: _matrix(batch.column(name)) for name in vectors},
                    [json.loads(payload) for payload in batch.column("payload").to_pylist()],
                )
        except (pa.ArrowInvalid, OSError) as error:
            raise _corrupt(path, str(error)) from error


def _rows_of_assets(batch: pa.RecordBatch, assets: Collection[str]) -> pa.RecordBatch:
    mask = [asset in assets for asset in batch.column("asset_id").to_pylist()]
    return batch.filter(pa.array(mask, pa.bool_()))


def read_ids(path: Path) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """(point ids, asset ids, generations) of the rows in batches; no vector is read.

    Raises StateCorrupt.
    """
    columns = ["point_id", "asset_id", "generation"]
    with _opened(path) as file:
        _spaces(path, file.schema_arrow)
        try:
            for batch in file.iter_batches(ROWS_PER_GROUP * 8, columns=columns):
                points, assets, generations = (batch.column(name).to_pylist() for name in columns)
                yield points, assets, generations
        except (pa.ArrowInvalid, OSError) as error:
            raise _corrupt(path, str(error)) from error


def _matrix(column: pa.FixedSizeListArray) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    # `flatten` leaves the missing rows out; without any it is a view.
    values = column.flatten().to_numpy(zero_copy_only=True)
    return there, values.reshape(len(there), column.type.list_size)


def read_spaces(path: Path) -> tuple[VectorSpace, ...]:
    """The vector spaces that the file says it holds. Raises StateCorrupt."""
    with _opened(path) as file:
        return _spaces(path, file.schema_arrow)


def _spaces(path: Path, schema: pa.Schema) -> tuple[VectorSpace, ...]:
    facts = schema.metadata or {}
    if facts.get(b"format") != FORMAT.encode():
        raise _corrupt(path, f"its format is {facts.get(b'format')!r}, not {FORMAT}")
    try:
        return codec.from_bytes(tuple[VectorSpace, ...], facts.get(b"spaces", b""))
    except ValueError as error:
        raise _corrupt(path, f"its vectors: {error}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # it would keep all of it
    except (pa.ArrowInvalid, OSError) as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, why: str) -> StateCorrupt:
    return StateCorrupt(
        f"{path.name} is not a file of embeddings: {why.splitlines()[0]}",
        remedy="Retry its objects: `sensedex retry`.",
    )
