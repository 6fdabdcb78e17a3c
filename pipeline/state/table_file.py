"""Reads some rows of a Parquet file that is sorted by bucket and key, without the rest of it.

By the least and the greatest place of each row group, which the file's footer has: of a file with
10^8 rows, one object costs the footer and a row group of 8,192. Files of the state never change, so
that a footer is kept for as long as the process lives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import Place
from pipeline.state.store import Store

PlaceRange = tuple[Place, Place]
"""Places from the first on, up to the second, which is not in it."""
FOOTERS_KEPT = 64
_LAST = chr(0x10FFFF)
_BEHIND_ALL_KEYS = _LAST * 1025

_footers: OrderedDict[tuple[str, str], pq.FileMetaData] = OrderedDict()


def prefix_range(bucket: str, prefix: str = "") -> PlaceRange:
    """All of the bucket whose keys begin with the prefix."""
    head = prefix.rstrip(_LAST)
    end = head[:-1] + chr(ord(head[-1]) + 1) if head else _BEHIND_ALL_KEYS
    return (bucket, prefix), (bucket, end)


def place_ranges(places: Iterable[Place]) -> list[PlaceRange]:
    """A range of each place, apart and in their order."""
    return [((bucket, key), _behind((bucket, key))) for bucket, key in sorted(set(places))]


class TableFile:
    """An open Parquet file with a column `key`, and one `bucket`: without it all rows are of
    `bucket`. `footer` is its own, where it is known."""

    def __init__(
        self, file: BinaryIO, bucket: str = "", footer: pq.FileMetaData | None = None
    ) -> None:
        # Columns of a row group lie side by side: one request for a store, not one a column.
        self._file = pq.ParquetFile(file, metadata=footer, pre_buffer=True)
        self._bucket = bucket
        self.footer = self._file.metadata
        self.schema = self._file.schema_arrow
        self._bounds = [self._bounds_of(group) for group in range(self.footer.num_row_groups)]

    def batches(self, ranges: Sequence[PlaceRange]) -> Iterator[pa.RecordBatch]:
        """The rows whose place is in one of the ranges, which are apart and in their order."""
        ends = [end for _, end in ranges]
        for group, bounds in enumerate(self._bounds):
            first = 0
            if bounds is not None:
                least, greatest = bounds
                first = bisect_left(ends, _behind(least))  # the first that ends behind the least
                if first == len(ranges) or ranges[first][0] > greatest:
                    continue
            yield from self._rows_of(group, ranges[first:])

    def _rows_of(self, group: int, ranges: Sequence[PlaceRange]) -> Iterator[pa.RecordBatch]:
        for batch in self._file.read_row_group(group).combine_chunks().to_batches():
            places = self._places_of(batch)
            for begin, end in ranges:
                if places and begin > places[-1]:
                    break
                first, last = bisect_left(places, begin), bisect_left(places, end)
                if first < last:
                    yield batch.slice(first, last - first)

    def _places_of(self, batch: pa.RecordBatch) -> list[Place]:
        keys = batch.column("key").to_pylist()
        if "bucket" not in self.schema.names:
            return [(self._bucket, key) for key in keys]
        return list(zip(batch.column("bucket").to_pylist(), keys, strict=True))

    def _bounds_of(self, group: int) -> PlaceRange | None:
        """The least and the greatest place. Where a bucket ends within the group, the least and the
        greatest key may be of either: then no key is less, and none is greater."""
        buckets, keys = self._extremes(group, "bucket"), self._extremes(group, "key")
        if "bucket" not in self.schema.names:
            buckets = self._bucket, self._bucket
        if buckets is None or keys is None:
            return None
        if buckets[0] != buckets[1]:
            keys = "", _BEHIND_ALL_KEYS
        return (buckets[0], keys[0]), (buckets[1], keys[1])

    def _extremes(self, group: int, column: str) -> tuple[Any, Any] | None:
        if column not in self.schema.names:
            return None
        facts = self.footer.row_group(group).column(self.schema.get_field_index(column))
        found = facts.statistics
        return (found.min, found.max) if found is not None and found.has_min_max else None


@contextmanager
def opened_in(store: Store, name: str, bucket: str = "") -> Iterator[TableFile]:
    """A file of the store, of which no more is read than is asked for. Raises FileNotFoundError."""
    place = store.location, name
    with store.opened(name) as file:
        table = TableFile(file, bucket, _footers.get(place))
        _footers[place] = table.footer
        _footers.move_to_end(place)
        while len(_footers) > FOOTERS_KEPT:
            _footers.popitem(last=False)
        yield table


def _behind(place: Place) -> Place:
    """The very next place that there can be."""
    return place[0], place[1] + "\0"
