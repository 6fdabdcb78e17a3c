"""The one codec of records, which are frozen dataclasses: to and from JSON, to and from Arrow.

Pure: it knows no format's file and no record by name. What is stored is the record's fields under
their names; tests/fixtures/formats has a file of each format as it is on disks, which must stay.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

import pyarrow as pa
from pydantic import ConfigDict, TypeAdapter, ValidationError

R = TypeVar("R")
_Writer = Callable[[Sequence[Any]], pa.Array]


def to_json(record: object) -> dict[str, Any]:
    """What `json.dumps` takes, the fields in their order."""
    # In mode "json" a whole number in a field of floats would gain a ".0": other bytes than the
    # record was stored in so far. What is of the wrong type is mypy's to find, not a reader's.
    values: dict[str, Any] = _adapter(type(record)).dump_python(record, warnings=False)
    return values


def to_bytes(record: object, *, sort_keys: bool = False, indent: int | None = None) -> bytes:
    """JSON in ASCII. By `json`, not by pydantic, which writes floats and spaces in another way."""
    return json.dumps(
        to_json(record), ensure_ascii=True, sort_keys=sort_keys, indent=indent
    ).encode()


def from_bytes(kind: type[R], data: bytes | str) -> R:
    """The record that the JSON is. Raises ValueError that says, on one line, which field is not
    what it should be: missing, of another type, unknown, or refused by the record itself."""
    try:
        record: R | None = _adapter(kind).validate_json(data, strict=True)
    except ValidationError as error:
        raise ValueError(_first_of(error)) from error
    if record is None:
        raise ValueError("it is null")
    return record


def _new_adapter(kind: Any) -> TypeAdapter[Any]:
    """A field that nobody knows is refused, as a dataclass refuses it. pydantic takes that setting
    for no dataclass alone, but for what holds one; hence the None."""
    return TypeAdapter(kind | None, config=ConfigDict(extra="forbid"))


# One is made when it is first asked for, and takes some milliseconds.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(_new_adapter)


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{place}: {what}" if place else what


class Columns(Generic[R]):
    """How records of one kind lie in a table: a column a field, found by its name.

    A field that is a record lies in a struct of that name; where the schema has none, in columns of
    both names (`failure_code` is `code` of `failure`), all null where there is none. A tuple is a
    list, and an empty one null.

    Past pydantic: the schema has the types, only enums and the records' own checks are left. By an
    adapter, a row at a time, rows of the state were written at a quarter of the speed and read at
    two thirds.
    """

    def __init__(self, kind: type[R], schema: pa.Schema) -> None:
        self._kind = kind
        self._schema = schema
        self._hints = get_type_hints(kind)
        self._names = _names_of(kind)
        self._writers = [self._writer(field) for field in schema]

    def batch(self, records: Sequence[R]) -> pa.RecordBatch:
        arrays = [write(records) for write in self._writers]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def records(self, batch: pa.RecordBatch, **missing: Any) -> Iterator[R]:
        """`missing` has the values of what an earlier version had no columns for. Raises ValueError
        for other columns, and for a value that is none of the record's."""
        if set(batch.schema.names) != set(self._schema.names) - missing.keys():
            raise ValueError(f"its columns are {', '.join(batch.schema.names)}")
        # Column by column, and none that is empty: a cell at a time takes three times as long.
        columns = [
            itertools.repeat(missing[name], batch.num_rows)
            if name in missing
            else self._read(batch, name)
            for name in self._names
        ]
        return itertools.starmap(self._kind, zip(*columns, strict=True))

    def _writer(self, field: pa.Field) -> _Writer:
        if field.name not in self._names:
            return self._part_writer(field)
        read, kind = attrgetter(field.name), field.type
        if pa.types.is_struct(kind):
            return lambda records: _structs([read(record) for record in records], kind)
        if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
            names = [part.name for part in kind.value_type]
            return lambda records: pa.array(
                [_dicts(some, names) if (some := read(r)) else None for r in records], kind
            )
        if pa.types.is_list(kind):
            return lambda records: pa.array([read(record) or None for record in records], kind)
        return lambda records: pa.array([read(record) for record in records], kind)

    def _part_writer(self, field: pa.Field) -> _Writer:
        for name in self._names:
            part, kind = field.name.removeprefix(f"{name}_"), _bare(self._hints[name])
            if is_dataclass(kind) and part in _names_of(kind):
                whole, of_whole = attrgetter(name), attrgetter(part)
                return lambda records: pa.array(
                    [None if (one := whole(r)) is None else of_whole(one) for r in records],
                    field.type,
                )
        raise ValueError(f"{self._kind.__name__} has nothing for a column {field.name!r}")

    def _read(self, batch: pa.RecordBatch, name: str) -> Iterable[Any]:
        kind = _bare(self._hints[name])
        if name in self._schema.names:
            return _converted(batch.column(name), self._hints[name])
        parts = [_cells(batch.column(f"{name}_{part}")) for part in _names_of(kind)]
        rows = zip(*parts, strict=True)
        return (None if values[0] is None else kind(*values) for values in rows)


def _converted(column: pa.Array, hint: Any) -> Iterable[Any]:
    kind = _bare(hint)
    if is_dataclass(kind):
        # What an earlier version had no columns for stands last in the record, and has a default.
        there = {part.name for part in column.type}
        parts = [_cells(column.field(name)) for name in _names_of(kind) if name in there]
        return itertools.starmap(cast("type[Any]", kind), zip(*parts, strict=True))
    cells = _cells(column)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if kind is hint:
            return map(kind, cells)
        return (None if cell is None else kind(cell) for cell in cells)
    if get_origin(kind) is not tuple:
        return cells
    inner = get_args(kind)[0]
    if is_dataclass(inner):
        record = cast("type[Any]", inner)
        return (tuple(record(**one) for one in some) if some else () for some in cells)
    return (tuple(some) if some else () for some in cells)


def _structs(records: Sequence[object], struct: pa.StructType) -> pa.Array:
    parts = [pa.array(list(map(attrgetter(part.name), records)), part.type) for part in struct]
    return pa.StructArray.from_arrays(parts, fields=list(struct))


def _dicts(records: Iterable[object], names: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: getattr(one, name) for name in names} for one in records]


def _cells(column: pa.Array) -> Iterable[Any]:
    count = len(column)
    return itertools.repeat(None, count) if column.null_count == count else column.to_pylist()


def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _bare(hint: Any) -> Any:
    """The type, where it is that or None."""
    inner = [one for one in get_args(hint) if one is not NoneType]
    return inner[0] if NoneType in get_args(hint) and len(inner) == 1 else hint
