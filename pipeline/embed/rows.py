"""The two tables that travel between the stages of the graph, as Arrow schemas and their rows.

    decoded:  a window with its pixels and sound, or the end of an object with its outcome
    encoded:  the same without pixels and sound, with one list of float32 a vector

The pixels are 224x224 `uint8` and the sound is 16 kHz `int16`, as raw bytes: native frames never
enter Ray's object store (measured: 11 times slower, docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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
    columns = {n: [getattr(row, n) for row in listed] for n in DECODED.names}
    return pa.Table.from_pydict(columns, schema=DECODED)


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


def vectors_of(table: pa.Table, row: int, names: Sequence[str]) -> dict[str, Any]:
    """The vectors that the row has, by name, as float32 arrays."""
    found = {}
    for name in names:
        cell = table.column(name)[row]
        if cell.is_valid:
            found[name] = cell.values.to_numpy(zero_copy_only=False)
    return found


@dataclass(frozen=True, slots=True)
class Shard:
    """Which shard an object belongs to, and how many objects the shard waits for."""

    number: int
    objects: int
