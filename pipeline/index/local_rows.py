"""Looks up which points of the client's own engine a reader may find.

For each call that engine asks every payload, one after the other, whether it fits, which takes
twenty microseconds each; here the rows of each value are looked up once. The engine's arrays are no
public part of the client (docs/dependencies.md).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from pipeline.index.conditions import OF_READERS, Condition
from pipeline.index.question import moment_of
from pipeline.payload_fields import IndexKind

Rows = NDArray[np.intp]
Payload = Mapping[str, Any]
COMPARED = (operator.gt, operator.ge, operator.lt, operator.le)  # as a condition has its bounds


class Arrays(Protocol):
    """What is used of a collection of the engine: a row for each point, in the order they came. A
    changed payload is another object; vectors are of unit length, and `deleted` ones stay."""

    payload: list[dict[str, Any]]
    ids: dict[Any, int]
    ids_inv: list[Any]
    vectors: dict[str, NDArray[np.float32]]
    deleted: NDArray[Any]
    deleted_per_vector: dict[str, NDArray[Any]]


def arrays_of(client: QdrantClient, name: str) -> Arrays | None:
    """Of the collection of that name or alias; None where another release has none such."""
    engine: Any = getattr(client, "_client", None)
    real = getattr(engine, "aliases", {}).get(name, name)
    found = getattr(engine, "collections", {}).get(real)
    names = Arrays.__annotations__
    return found if all(hasattr(found, attribute) for attribute in names) else None


class LocalRows:
    """Of one collection. Not for several threads: the engine is not, either."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self._live: Rows = np.empty(0, np.intp)
        self._by_value: dict[str, dict[Any, Rows]] = {}

    def look(self, arrays: Arrays) -> None:
        """Forget what was looked up if any payload is another than it was. Before all else."""
        there = arrays.payload
        if there != self.payloads:  # the same objects are equal without being looked into
            self.payloads = list(there)
            live = [n for n, one in enumerate(there) if one.get("live") is True and _shown(one)]
            self._live = np.array(live, np.intp)
            self._by_value = {}

    def let_through(
        self, arrays: Arrays, where: Sequence[Condition] = (), among: Sequence[Any] = ()
    ) -> Rows:
        """The live windows of which each condition is true; of these points, where any is named."""
        rows = self._live
        if among:
            named = [arrays.ids[point] for point in among if point in arrays.ids]
            rows = self._kept(rows, [np.array(named, np.intp)])
        for one in where:
            rows = self._where(rows, one)
        kept: Rows = rows[~arrays.deleted[rows].astype(bool)]
        return kept

    def by_value(self, field: str) -> dict[Any, Rows]:
        """The live rows of each value of a field, looked up when it is first asked for; deleted
        ones too."""
        if field not in self._by_value:
            rows: dict[Any, list[int]] = {}
            for row in self._live.tolist():
                for value in dict.fromkeys(values_of(self.payloads[row], field)):
                    rows.setdefault(value, []).append(row)
            self._by_value[field] = {v: np.array(found, np.intp) for v, found in rows.items()}
        return self._by_value[field]

    def counts(self, field: str, rows: Rows) -> dict[Any, int]:
        """How many of the rows have each value of a field."""
        mask = np.zeros(len(self.payloads), bool)
        mask[rows] = True
        counted = {v: int(mask[those].sum()) for v, those in self.by_value(field).items()}
        return {value: count for value, count in counted.items() if count}

    def in_order_of(self, field: str, rows: Rows) -> Rows:
        """Those of the rows that have a value there, the least of a number or a time first."""
        as_compared = _comparable(field)
        keys = {
            row: min(map(as_compared, values))
            for row in rows.tolist()
            if (values := values_of(self.payloads[row], field))
        }
        return np.array(sorted(keys, key=keys.__getitem__), np.intp)

    def _where(self, rows: Rows, one: Condition) -> Rows:
        values = one.any_of if one.equals is None else (one.equals,)
        if values:
            by_value = self.by_value(one.field)
            held = [by_value[value] for value in values if value in by_value]
            return self._kept(rows, held, negated=one.negated)
        fits = _prefixed(one.prefix) if one.prefix is not None else _in_range(one)
        some = [any(map(fits, values_of(self.payloads[row], one.field))) for row in rows]
        kept: Rows = rows[np.array(some, bool) != one.negated]
        return kept

    def _kept(self, rows: Rows, some: Sequence[Rows], *, negated: bool = False) -> Rows:
        mask = np.full(len(self.payloads), negated)
        for one in some:
            mask[one] = not negated
        kept: Rows = rows[mask[rows]]
        return kept


def values_of(payload: Payload, field: str) -> Sequence[Any]:
    """Of a field, of which a list has several, and none that is not there."""
    value = payload.get(field)
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _shown(payload: Payload) -> bool:
    return payload.get("kind") == "segment"


def _prefixed(prefix: str) -> Callable[[Any], bool]:
    return lambda value: str(value).startswith(prefix)


def _in_range(one: Condition) -> Callable[[Any], bool]:
    """Whether a value of the field is between the condition's bounds."""
    as_compared = _comparable(one.field)
    tests = [
        (compare, as_compared(bound))
        for compare, bound in zip(COMPARED, one.bounds, strict=True)
        if bound is not None
    ]

    def fits(value: Any) -> bool:
        compared = as_compared(value)
        return all(compare(compared, bound) for compare, bound in tests)

    return fits


def _comparable(field: str) -> Callable[[Any], Any]:
    """Of a value of the field, what stands in order."""
    return moment_of if OF_READERS[field].index is IndexKind.DATETIME else lambda value: value
