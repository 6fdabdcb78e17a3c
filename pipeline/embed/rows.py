"""The two tables that travel between the stages of the graph, as Arrow schemas and their rows.

    decoded:  a window with its pixels and sound, or the end of an object with its outcome
    encoded:  the same without pixels and sound, with one list of float32 a vector

The pixels are 224x224 `uint8` and the sound is 16 kHz `int16`, as raw bytes: native frames never
enter Ray's object store (measured: 11 times slower, docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FRAME_SHAPE = (224, 224, 3)

_COMMON = [
    pa.field("shard", pa.int32()),
    pa.field("shard_objects", pa.int32()),
    pa.field("asset_id", pa.string()),
    pa.field("generation", pa.string()),
    pa.field("segment_index", pa.int32()),
    pa.field("start_ms", pa.int64()),
    pa.field("end_ms", pa.int64()),
    pa.field("payload", pa.string()),
    pa.field("outcome", pa.string()),
]
DECODED = pa.schema(
    [
        *_COMMON,
        pa.field("frames", pa.large_binary()),
        pa.field("sound", pa.large_binary()),
        pa.field("text", pa.string()),
    ]
)


def encoded_schema(vector_names: Sequence[str]) -> pa.Schema:
    """`failure` is the JSON of a Failure where the encoder could not take the window."""
    vectors = [pa.field(name, pa.large_list(pa.float32())) for name in vector_names]
    return pa.schema([*_COMMON, pa.field("failure", pa.string()), *vectors])


@dataclass(frozen=True, slots=True)
class DecodedRow:
    """A window (`outcome` is None), or the last row of an object (`outcome` is its JSON)."""

    shard: int
    shard_objects: int
    asset_id: str
    generation: str
    segment_index: int = -1
    start_ms: int = 0
    end_ms: int = 0
    payload: str | None = None
    outcome: str | None = None
    frames: bytes | None = None
    sound: bytes | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if (self.outcome is None) == (self.payload is None):
            raise ValueError("a row is either a window with a payload or an end with an outcome")


def decoded_table(rows: Iterable[DecodedRow]) -> pa.Table:
    """One Arrow row for each decoded window, as the encode stage takes them."""
    listed = list(rows)
    columns = []
    for field in DECODED:
        cells = [getattr(row, field.name) for row in listed]
        is_media = field.type == pa.large_binary()
        columns.append(_media_column(cells) if is_media else pa.array(cells, field.type))
    return pa.Table.from_arrays(columns, schema=DECODED)


def _media_column(cells: Sequence[bytes | None]) -> pa.Array:
    """As `pa.array` makes it, which takes three times as long: it copies what it has so far
    whenever there is no more room."""
    there = pa.array([cell is not None for cell in cells], pa.bool_())
    ends = np.cumsum([0, *(len(cell or b"") for cell in cells)], dtype=np.int64)
    bytes_of_all = pa.py_buffer(b"".join(cell for cell in cells if cell is not None))
    buffers = [there.buffers()[1], pa.py_buffer(ends), bytes_of_all]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(cells), buffers)


def frames_of(data: bytes) -> NDArray[np.uint8]:
    """(F,224,224,3) from the bytes of a `frames` cell."""
    return np.frombuffer(data, np.uint8).reshape(-1, *FRAME_SHAPE)


def sound_of(data: bytes) -> NDArray[np.int16]:
    """(samples,) of 16 kHz mono from the bytes of a `sound` cell."""
    return np.frombuffer(data, np.int16)


def vector_column(vectors: Sequence[NDArray[np.float32] | None]) -> pa.Array:
    """A column of nullable float32 lists, from numpy without a Python float a value."""
    lengths = [0 if v is None else len(v) for v in vectors]
    there = [v for v in vectors if v is not None]
    values = np.concatenate(there) if there else np.empty(0, np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    missing = np.array([v is None for v in vectors], dtype=bool)
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, type=pa.int64()),
        pa.array(values.astype(np.float32, copy=False)),
        mask=pa.array(missing),
    )


def vectors_of(table: pa.Table, names: Sequence[str]) -> list[dict[str, NDArray[np.float32]]]:
    """Row for row, the vectors that it has, by name."""
    rows: list[dict[str, NDArray[np.float32]]] = [{} for _ in range(table.num_rows)]
    for name in names:
        before = 0
        for chunk in table.column(name).chunks:
            ends, values = chunk.offsets.to_numpy(), chunk.values.to_numpy()
            for row in np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False)):
                rows[before + row][name] = values[ends[row] : ends[row + 1]]
            before += len(chunk)
    return rows


@dataclass(frozen=True, slots=True)
class Shard:
    """Which shard an object belongs to, and how many objects the shard waits for."""

    number: int
    objects: int
