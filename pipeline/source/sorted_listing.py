"""Sorts a listing of any order and length in bounded memory: sorted runs on a disk, merged.

The join with the state wants objects in the order of bucket and key, and neither an inventory nor
a manifest promises it. So rows are sorted by half a million (`ROWS_PER_RUN`), each such run is a
file, and all are read side by side, 1,024 rows of each at a time. In memory is one run while it is
sorted, twice (measured with all else: 80 to 210 MB above a listing of 10^6 objects), and a batch of
each run: of 10^8 rows those are 200, by their size some 60 MB. On the disk a row of a key of 33
characters takes 61 bytes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import ManifestInvalid, printable
from pipeline.records import MediaObject

ROWS_PER_RUN = 2**19
ROWS_PER_READ = 1024

# As the fields of MediaObject; what is not known yet is null.
LISTED = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.string()),
        ("storage_class", pa.string()),
        ("version_id", pa.string()),
        ("metadata", pa.string()),
    ]
)
Row = tuple[Any, ...]
_place = itemgetter(0, 1)


def write_runs(batches: Iterable[pa.RecordBatch], folder: Path) -> None:
    """Sorted runs of the rows, which have the columns of `LISTED`, as files in the folder."""
    held: list[pa.RecordBatch] = []
    numbers = itertools.count()
    for batch in batches:
        while batch.num_rows:
            room = ROWS_PER_RUN - sum(one.num_rows for one in held)
            held.append(batch.slice(0, room))
            batch = batch.slice(room)
            if room <= held[-1].num_rows:
                _write_run(held, folder / f"{next(numbers):06d}.arrow")
                held = []
    if held:
        _write_run(held, folder / f"{next(numbers):06d}.arrow")


def _write_run(held: list[pa.RecordBatch], path: Path) -> None:
    table = pa.Table.from_batches(held, LISTED)
    table = table.sort_by([("bucket", "ascending"), ("key", "ascending")])
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, LISTED, options=options) as file:
        file.write_table(table, ROWS_PER_READ)


def merged(runs: Iterable[Path], what: str) -> Iterator[Row]:
    """The rows of all runs in the order of bucket and key, as tuples of `LISTED`'s columns.

    Raises ManifestInvalid, which says `what` it is, where an object is in it twice.
    """
    before: Any = None
    for row in heapq.merge(*map(_rows, runs), key=_place):
        place = row[0], row[1]
        if place == before:
            raise ManifestInvalid(
                f"{what} names {printable(f's3://{row[0]}/{row[1]}')} twice.",
                remedy="Name each object once, by one version.",
            )
        before = place
        yield row


def _rows(path: Path) -> Iterator[Row]:
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def object_of(row: Row) -> MediaObject:
    """A row whose ETag and size are known."""
    bucket, key, etag, size_bytes, modified, storage_class, version_id, metadata = row
    return MediaObject(
        bucket,
        key,
        etag,
        size_bytes,
        modified or "",
        storage_class or "STANDARD",
        version_id,
        metadata or "",
    )
