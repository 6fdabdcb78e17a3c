"""Reads one data file of an S3 Inventory, CSV, ORC or Parquet, in batches: the latest versions of
the keys in the source's scopes, in the columns of a sorted listing.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator
from functools import reduce
from pathlib import Path
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

from pipeline.places import Scope
from pipeline.source.inventory_manifest import Inventory, InventoryFormat
from pipeline.source.sorted_listing import LISTED

ROWS_PER_BATCH = 65_536
CSV_BLOCK_BYTES = 8 * 2**20
_MEANS = {
    "bucket": "bucket",
    "key": "key",
    "etag": "etag",
    "size": "size_bytes",
    "lastmodifieddate": "last_modified",
    "storageclass": "storage_class",
    "islatest": "is_latest",
    "isdeletemarker": "is_delete_marker",
}


def inventory_batches(
    path: Path, inventory: Inventory, scopes: Collection[Scope]
) -> Iterator[pa.RecordBatch]:
    """Raises ManifestInvalid."""
    names = {
        inventory.columns[means]: ours
        for means, ours in _MEANS.items()
        if means in inventory.columns
    }
    try:
        for batch in _batches(path, inventory, list(names)):
            yield _listed(batch.rename_columns([names[n] for n in batch.schema.names]),
                          inventory, scopes)  # fmt: skip
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise inventory.error(f"{path.name} cannot be read ({error})") from error


def _batches(path: Path, inventory: Inventory, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if inventory.format is InventoryFormat.PARQUET:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # it would keep all of it
            yield from file.iter_batches(ROWS_PER_BATCH, columns=columns)
    elif inventory.format is InventoryFormat.ORC:
        orc = pa.orc.ORCFile(path)
        for stripe in range(orc.nstripes):
            read = orc.read_stripe(stripe, columns=columns)
            for start in range(0, read.num_rows, ROWS_PER_BATCH):
                yield read.slice(start, ROWS_PER_BATCH)
    else:
        with gzip.open(path) as unpacked:
            if not unpacked.read(1):
                return  # Arrow takes a file without a row for none
        every = list(inventory.columns.values())
        with pa.CompressedInputStream(pa.OSFile(str(path)), "gzip") as stream:
            yield from pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(column_names=every, block_size=CSV_BLOCK_BYTES),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(every, pa.string()),
                    strings_can_be_null=False,
                ),
            )


def _listed(
    batch: pa.RecordBatch, inventory: Inventory, scopes: Collection[Scope]
) -> pa.RecordBatch:
    there = batch.schema.names
    wanted = [pc.equal(batch.column("bucket"), inventory.source_bucket)]
    if "is_latest" in there:
        wanted.append(_is(batch.column("is_latest"), True))
    if "is_delete_marker" in there:
        wanted.append(_is(batch.column("is_delete_marker"), False))
    batch = batch.filter(reduce(pc.and_, wanted))
    key = batch.column("key").cast(pa.string())
    if inventory.format is InventoryFormat.CSV:
        key = _decoded(key)
    batch = batch.set_column(there.index("key"), pa.field("key", pa.string()), key)
    begins = [pc.starts_with(key, scope.prefix) for scope in scopes]
    batch = batch.filter(reduce(pc.or_, begins))
    count = batch.num_rows
    arrays = []
    for field in LISTED:
        if field.name == "last_modified" and field.name in there:
            arrays.append(_iso(batch.column(field.name)))
        elif field.name in there:
            arrays.append(batch.column(field.name).cast(field.type))
        else:
            # `version_id` with them: a listing has none either, and a generation is made with it.
            arrays.append(pa.nulls(count, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=LISTED)


def _is(column: pa.Array, value: bool) -> pa.Array:
    if pa.types.is_boolean(column.type):
        return pc.equal(pc.fill_null(column, not value), value)
    return pc.equal(pc.utf8_lower(column), str(value).lower())


def _decoded(keys: pa.Array) -> pa.Array:
    """Keys of CSV are URL-encoded, a space as a plus."""
    coded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(coded).as_py():
        return keys
    decoded = [unquote_plus(key, errors="strict") for key in keys.filter(coded).to_pylist()]
    return pc.replace_with_mask(keys, coded, pa.array(decoded, pa.string()))


def _iso(column: pa.Array) -> pa.Array:
    """As a listing has them: 2026-01-02T03:04:05+00:00."""
    if pa.types.is_timestamp(column.type):
        seconds = column.cast(pa.timestamp("s"), safe=False)
        return pc.binary_join_element_wise(pc.strftime(seconds, "%Y-%m-%dT%H:%M:%S"), "+00:00", "")
    return pc.replace_substring_regex(column.cast(pa.string()), r"(\.0+)?Z$", "+00:00")
