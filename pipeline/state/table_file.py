"""Reads some rows of a Parquet file that is sorted by `key`, without the rest of it.

By the least and the greatest key of each row group, which the file's footer has: of a file with
10^8 rows, one key costs the footer and a row group of 8,192. Files of the state never change, so
that a footer is kept for as long as the process lives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.state.store import Store

KeyRange = tuple[str, str]
"""Keys from the first on, up to the second, which is not in it."""
FOOTERS_KEPT = 64
_LAST = chr(0x10FFFF)

_footers: OrderedDict[tuple[str, str], pq.FileMetaData] = OrderedDict()


def prefix_range(prefix: str) -> KeyRange:
    """All keys that begin with it."""
    head = prefix.rstrip(_LAST)
    return prefix, head[:-1] + chr(ord(head[-1]) + 1) if head else _LAST * 1025


def key_ranges(keys: Iterable[str]) -> list[KeyRange]:
    """A range of each key, apart and in their order."""
    return [(key, key + "\0") for key in sorted(set(keys))]


class TableFile:
    """An open Parquet file with a column `key`. `footer` is its own, where it is known."""

    def __init__(self, file: BinaryIO, footer: pq.FileMetaData | None = None) -> None:
        # Columns of a row group lie side by side: one request for a store, not one a column.
        self._file = pq.ParquetFile(file, metadata=footer, pre_buffer=True)
        self.footer = self._file.metadata
        self.schema = self._file.schema_arrow
        self._bounds = [self._bounds_of(group) for group in range(self.footer.num_row_groups)]

    def batches(self, ranges: Sequence[KeyRange]) -> Iterator[pa.RecordBatch]:
        """The rows whose key is in one of the ranges, which are apart and in their order."""
        ends = [end for _, end in ranges]
        for group, bounds in enumerate(self._bounds):
            first = 0
            if bounds is not None:
                least, greatest = bounds
                first = bisect_left(ends, least + "\0")  # the first that ends behind the least
                if first == len(ranges) or ranges[first][0] > greatest:
                    continue
            yield from self._rows_of(group, ranges[first:])

    def _rows_of(self, group: int, ranges: Sequence[KeyRange]) -> Iterator[pa.RecordBatch]:
        for batch in self._file.read_row_group(group).combine_chunks().to_batches():
            keys = batch.column("key").to_pylist()
            for begin, end in ranges:
                if keys and begin > keys[-1]:
                    break
                first, last = bisect_left(keys, begin), bisect_left(keys, end)
                if first < last:
                    yield batch.slice(first, last - first)

    def _bounds_of(self, group: int) -> tuple[str, str] | None:
        column = self.footer.row_group(group).column(self.schema.get_field_index("key"))
        found = column.statistics
        return (found.min, found.max) if found is not None and found.has_min_max else None


@contextmanager
def opened_in(store: Store, name: str) -> Iterator[TableFile]:
    """A file of the store, of which no more is read than is asked for. Raises FileNotFoundError."""
    place = store.location, name
    with store.opened(name) as file:
        table = TableFile(file, _footers.get(place))
        _footers[place] = table.footer
        _footers.move_to_end(place)
        while len(_footers) > FOOTERS_KEPT:
            _footers.popitem(last=False)
        yield table
