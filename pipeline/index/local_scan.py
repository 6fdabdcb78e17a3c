"""Searches the client's own engine by arrays.

For each search that engine asks every payload, one after the other, whether it fits, which takes
twenty microseconds each; here it is looked up which points a search may find, and their cosines are
computed at once. The engine's arrays are no public part of the client (docs/dependencies.md).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from pipeline.index.conditions import OF_READERS, Condition
from pipeline.index.question import moment_of
from pipeline.index.types import Hit, WindowsAsk
from pipeline.payload_fields import IndexKind

Rows = NDArray[np.intp]
Payload = Mapping[str, Any]
FEW = 4  # where no more than one row in so many is left, only theirs are multiplied


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


class LocalScan:
    """Of one collection. Not for several threads: the engine is not, either."""

    def __init__(self) -> None:
        self._seen: list[dict[str, Any]] = []
        self._live: Rows = np.empty(0, np.intp)
        self._by_value: dict[str, dict[Any, Rows]] = {}

    def hits(self, arrays: Arrays, asks: Sequence[WindowsAsk]) -> list[list[Hit]]:
        """Of each, as the record says; equal cosines in the order in which the points came."""
        self._look(arrays.payload)
        found = [self._rows(arrays, ask) for ask in asks]
        return [
            self._best(arrays, ask, rows, cosines)
            for ask, rows, cosines in zip(asks, found, _cosines(arrays, asks, found), strict=True)
        ]

    def live_segments(self, arrays: Arrays) -> int:
        """How many points a search may find."""
        self._look(arrays.payload)
        return int(np.count_nonzero(~_gone(arrays.deleted, self._live)))

    def has_values(self, arrays: Arrays, field: str) -> bool:
        """Whether any of these has the field."""
        self._look(arrays.payload)
        return bool(self._values(field))

    def _look(self, payloads: list[dict[str, Any]]) -> None:
        """Forget what was looked up if any payload is another than it was."""
        same = len(payloads) == len(self._seen) and all(map(operator.is_, payloads, self._seen))
        if not same:
            self._seen = list(payloads)
            live = [n for n, one in enumerate(payloads) if one.get("live") is True and _shown(one)]
            self._live = np.array(live, np.intp)
            self._by_value = {}

    def _rows(self, arrays: Arrays, ask: WindowsAsk) -> Rows:
        rows = self._live
        if ask.among:
            named = [arrays.ids[point] for point in ask.among if point in arrays.ids]
            rows = self._kept(rows, [np.array(named, np.intp)])
        for one in ask.where:
            rows = self._where(rows, one)
        rows = rows[~_gone(arrays.deleted, rows)]
        if ask.vector is not None:
            rows = rows[~_gone(arrays.deleted_per_vector[ask.vector_name], rows)]
        return rows

    def _where(self, rows: Rows, one: Condition) -> Rows:
        values = one.any_of if one.equals is None else (one.equals,)
        if values:
            by_value = self._values(one.field)
            held = [by_value[value] for value in values if value in by_value]
            return self._kept(rows, held, negated=one.negated)
        fits = [_fits(one, self._seen[row].get(one.field)) != one.negated for row in rows]
        kept: Rows = rows[np.array(fits, bool)]
        return kept

    def _kept(self, rows: Rows, some: Sequence[Rows], *, negated: bool = False) -> Rows:
        mask = np.full(len(self._seen), negated)
        for one in some:
            mask[one] = not negated
        kept: Rows = rows[mask[rows]]
        return kept

    def _values(self, field: str) -> dict[Any, Rows]:
        """The rows of each value of a field, looked up when it is first asked for."""
        if field not in self._by_value:
            rows: dict[Any, list[int]] = {}
            for row in self._live.tolist():
                for value in _each(self._seen[row].get(field)):
                    rows.setdefault(value, []).append(row)
            self._by_value[field] = {v: np.array(found, np.intp) for v, found in rows.items()}
        return self._by_value[field]

    def _best(
        self, arrays: Arrays, ask: WindowsAsk, rows: Rows, cosines: NDArray[np.float32] | None
    ) -> list[Hit]:
        if cosines is None:
            chosen = np.arange(min(ask.limit, len(rows)))
        elif ask.per_asset:
            chosen = self._of_assets(ask, rows, np.argsort(-cosines, kind="stable"))
        else:
            chosen = _largest(cosines, ask.limit)
        scores = [0.0] * len(chosen) if cosines is None else cosines[chosen].tolist()
        return [
            Hit(str(arrays.ids_inv[row]), score, _told(self._seen[row], ask.fields))
            for row, score in zip(rows[chosen].tolist(), scores, strict=True)
        ]

    def _of_assets(self, ask: WindowsAsk, rows: Rows, order: Rows) -> Rows:
        """Of `ask.limit` assets, those first whose best is best, the best `ask.per_asset` of each;
        asset by asset."""
        assets = self._values("asset_id")
        places: dict[Any, list[int]] = {}
        open_for = ask.limit
        unfilled = 0
        for place in order.tolist():
            asset = self._seen[rows[place]]["asset_id"]
            mine = places.get(asset)
            if mine is None:
                if not open_for:
                    continue
                mine = places[asset] = []
                open_for -= 1
                unfilled += 1
            if len(mine) < ask.per_asset:
                mine.append(place)
                unfilled -= len(mine) == min(ask.per_asset, len(assets[asset]))
            if not open_for and not unfilled:
                break
        return np.array([place for mine in places.values() for place in mine], np.intp)


def _shown(payload: Payload) -> bool:
    return payload.get("kind") == "segment"


def _gone(deleted: NDArray[Any], rows: Rows) -> NDArray[np.bool_]:
    return deleted[rows].astype(bool)


def _cosines(
    arrays: Arrays, asks: Sequence[WindowsAsk], found: Sequence[Rows]
) -> Iterator[NDArray[np.float32] | None]:
    """Of each ask the cosines of its rows. Those that take most rows of a vector share a product,
    which reads the vectors once."""
    points = len(arrays.payload)
    units = {n: _unit(ask.vector) for n, ask in enumerate(asks) if ask.vector is not None}
    whole: dict[str, list[int]] = {}
    for number in units:
        if len(found[number]) * FEW > points:
            whole.setdefault(asks[number].vector_name, []).append(number)
    products: dict[int, NDArray[np.float32]] = {}
    for name, numbers in whole.items():
        product = arrays.vectors[name][:points] @ np.stack([units[n] for n in numbers], axis=1)
        products |= {number: product[:, place] for place, number in enumerate(numbers)}
    for number, (ask, rows) in enumerate(zip(asks, found, strict=True)):
        if number not in units:
            yield None
        elif number in products:
            yield products[number][rows]
        else:
            yield arrays.vectors[ask.vector_name][rows] @ units[number]


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = max(float(np.linalg.norm(vector)), 1e-12)
    return (vector / length).astype(np.float32)


def _largest(cosines: NDArray[np.float32], count: int) -> Rows:
    if count < len(cosines):
        least = np.partition(cosines, len(cosines) - count)[len(cosines) - count]
        some = np.flatnonzero(cosines >= least)
    else:
        some = np.arange(len(cosines))
    return some[np.argsort(-cosines[some], kind="stable")][:count]


def _told(payload: Payload, fields: Sequence[str]) -> dict[str, Any]:
    if fields:
        return {name: payload[name] for name in fields if name in payload}
    return deepcopy(dict(payload))


def _each(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _fits(one: Condition, value: Any) -> bool:
    """Whether any value of the field is in the range, or begins as it should."""
    if one.prefix is not None:
        return any(str(v).startswith(one.prefix) for v in _each(value))
    as_compared: Callable[[Any], Any] = (
        moment_of if OF_READERS[one.field].index is IndexKind.DATETIME else lambda value: value
    )
    bounds = [None if bound is None else as_compared(bound) for bound in one.bounds]
    above, at_least, below, at_most = bounds
    return any(
        (above is None or v > above)
        and (at_least is None or v >= at_least)
        and (below is None or v < below)
        and (at_most is None or v <= at_most)
        for v in map(as_compared, _each(value))
    )
