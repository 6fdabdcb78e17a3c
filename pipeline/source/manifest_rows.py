"""Reads a manifest's file: CSV, JSON Lines or Parquet, a row an object, in batches.

`uri` is wanted. `version_id`, `etag`, `size_bytes`, `last_modified` and `storage_class` are what a
listing would say. All other columns are metadata, which goes to the payload: text, a number, true
or false, or nothing. CSV has no types: its columns are called `year:int`, `rating:float`,
`public:bool`.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ManifestInvalid
from pipeline.places import split_uri
from pipeline.source.sorted_listing import LISTED

ROWS_PER_BATCH = 8192
MAX_METADATA_BYTES = 16 * 1024
OF_A_LISTING = ("version_id", "etag", "size_bytes", "last_modified", "storage_class")
Values = Mapping[str, Any]

# Qdrant's filters address `metadata.year`: no dot and no bracket may be in a name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CSV_TYPES: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: _BOOLS[text.lower()],
}


def manifest_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """The rows in the columns of `LISTED`, in batches. `name` is the manifest's own, by whose end
    its format is known: .csv, .jsonl, .ndjson, each also with .gz, and .parquet.

    Raises ManifestInvalid that names the row.
    """
    rows = _rows(path, name)
    number = 0
    while chunk := list(itertools.islice(rows, ROWS_PER_BATCH)):
        listed = []
        for row in chunk:
            number += 1
            try:
                listed.append(_listed(row))
            except (ValueError, TypeError) as error:
                raise _invalid(name, f"row {number}: {error}") from error
        columns = list(zip(*listed, strict=True))
        arrays = [pa.array(c, f.type) for c, f in zip(columns, LISTED, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=LISTED)


def _rows(path: Path, name: str) -> Iterator[Values]:
    plain = name.lower().removesuffix(".gz")
    try:
        if plain.endswith(".csv"):
            yield from _csv_rows(path, name)
        elif plain.endswith((".jsonl", ".ndjson")):
            yield from _json_rows(path, name)
        elif name.lower().endswith(".parquet"):
            with pq.ParquetFile(path, pre_buffer=False) as file:  # it would keep all of it
                for batch in file.iter_batches(ROWS_PER_BATCH):
                    yield from batch.to_pylist()
        else:
            raise _invalid(name, "its name ends with none of .csv, .jsonl, .ndjson and .parquet")
    except (UnicodeDecodeError, csv.Error, pa.ArrowException, OSError, EOFError) as error:
        raise _invalid(name, f"it cannot be read ({error})") from error


def _lines(path: Path, name: str) -> Any:
    if name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv_rows(path: Path, name: str) -> Iterator[Values]:
    with _lines(path, name) as file:
        reader = csv.reader(file, strict=True)
        titles = [_title(title, name) for title in next(reader, ())]
        if len({title for title, _ in titles}) < len(titles):
            raise _invalid(name, "a column is there twice")
        for cells in filter(None, reader):
            if len(cells) != len(titles):
                raise _invalid(name, f"line {reader.line_num} has {len(cells)} cells")
            yield {
                title: _typed(title, cell, kind)
                for (title, kind), cell in zip(titles, cells, strict=True)
                if cell
            }


def _title(title: str, name: str) -> tuple[str, str]:
    plain, _, kind = title.partition(":")
    if kind and kind not in _CSV_TYPES:
        raise _invalid(name, f"column {title!r}: a type is one of {', '.join(_CSV_TYPES)}")
    return plain, kind or ("int" if plain == "size_bytes" else "str")


def _typed(title: str, cell: str, kind: str) -> Any:
    try:
        return _CSV_TYPES[kind](cell)
    except (ValueError, KeyError):
        return _NotOfType(title, cell, kind)  # said where the row's number is known


class _NotOfType:
    def __init__(self, title: str, cell: str, kind: str) -> None:
        self.why = f"{title} is {cell[:80]!r}, which is no {kind}"


def _json_rows(path: Path, name: str) -> Iterator[Values]:
    with _lines(path, name) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise _invalid(name, f"line {number} is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise _invalid(name, f"line {number} is no object with a uri")
            yield row


def _listed(row: Values) -> tuple[Any, ...]:
    """Raises ValueError."""
    for value in row.values():
        if isinstance(value, _NotOfType):
            raise ValueError(value.why)
    uri = row.get("uri")
    if not isinstance(uri, str):
        raise ValueError("it has no uri")
    _, bucket, key = split_uri(uri)
    if not key:
        raise ValueError(f"{uri!r} names no key")
    size = row.get("size_bytes")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise ValueError(f"size_bytes is {size!r}")
    etag, modified, storage_class, version = (
        _text(name, row.get(name))
        for name in ("etag", "last_modified", "storage_class", "version_id")
    )
    etag = None if etag is None else etag.strip('"')
    metadata = _metadata(row.items())
    return bucket, key, etag, size, modified, storage_class, version, metadata


def _text(name: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return _iso(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, which is no text")
    return value


def _iso(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _metadata(items: Iterable[tuple[str, Any]]) -> str | None:
    """As JSON, the names sorted; None where there is none."""
    values: dict[str, Any] = {}
    for name, value in items:
        if name == "uri" or name in OF_A_LISTING or value is None:
            continue
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} names no metadata: letters, digits, _ and - may be in it")
        values[name] = _value(name, value)
    if not values:
        return None
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"its metadata are more than {MAX_METADATA_BYTES} bytes")
    return text


def _value(name: str, value: Any) -> str | int | float | bool:
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, which no filter can be asked for")
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} is {value}, which is no 64-bit number")
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError(
        f"{name} is neither text nor a number nor true or false, but {type(value).__name__}"
    )


def _invalid(name: str, why: str) -> ManifestInvalid:
    return ManifestInvalid(
        f"Manifest {name}: {why}.", remedy="docs/sources.md says what a manifest may hold."
    )
