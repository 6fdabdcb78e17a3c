"""Searches the client's own engine by arrays: the cosines of all that a search may find are
computed at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.index.local_rows import Arrays, LocalRows, Payload, Rows
from pipeline.index.types import Hit, WindowsAsk

FEW = 4  # where no more than one row in so many is left, only theirs are multiplied


class LocalScan:
    """Of one collection. Not for several threads: the engine is not, either."""

    def __init__(self) -> None:
        self._rows = LocalRows()

    def hits(self, arrays: Arrays, asks: Sequence[WindowsAsk]) -> list[list[Hit]]:
        """Of each, as the record says; equal cosines in the order in which the points came."""
        self._rows.look(arrays)
        found = [self._found(arrays, ask) for ask in asks]
        return [
            self._best(arrays, ask, rows, cosines)
            for ask, rows, cosines in zip(asks, found, _cosines(arrays, asks, found), strict=True)
        ]

    def live_segments(self, arrays: Arrays) -> int:
        """How many points a search may find."""
        self._rows.look(arrays)
        return len(self._rows.let_through(arrays))

    def has_values(self, arrays: Arrays, field: str) -> bool:
        """Whether any of these has the field."""
        self._rows.look(arrays)
        return bool(self._rows.by_value(field))

    def _found(self, arrays: Arrays, ask: WindowsAsk) -> Rows:
        rows = self._rows.let_through(arrays, ask.where, ask.among)
        if ask.vector is None:
            return rows
        without = arrays.deleted_per_vector[ask.vector_name][rows].astype(bool)
        kept: Rows = rows[~without]
        return kept

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
            Hit(str(arrays.ids_inv[row]), score, _told(self._rows.payloads[row], ask.fields))
            for row, score in zip(rows[chosen].tolist(), scores, strict=True)
        ]

    def _of_assets(self, ask: WindowsAsk, rows: Rows, order: Rows) -> Rows:
        """Of `ask.limit` assets, those first whose best is best, the best `ask.per_asset` of each;
        asset by asset."""
        assets = self._rows.by_value("asset_id")
        places: dict[Any, list[int]] = {}
        open_for = ask.limit
        unfilled = 0
        for place in order.tolist():
            asset = self._rows.payloads[rows[place]]["asset_id"]
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
