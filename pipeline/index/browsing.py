"""A collection looked through without a question: an asset, its windows, the values of a field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.ids import anchor_id
from pipeline.index.asking import LIVE, indexed
from pipeline.index.conditions import Condition
from pipeline.index.connection import Connection
from pipeline.index.local_rows import Arrays, LocalRows, arrays_of
from pipeline.index.question import matching
from pipeline.index.types import Hit

ORDERED_BY = "start_ms"


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """The commonest values of a field, and how many live windows have each."""

    field: str
    values: tuple[tuple[str | bool, int], ...]


class Browser:
    """Of one collection, for any number of threads. Every method raises IndexUnavailable."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._call = connection.call
        self._local = connection.local
        self._name = name
        self._rows = LocalRows()

    def anchor(self, asset_id: str) -> dict[str, Any] | None:
        """The payload of an asset's own point; None where there is none, or that is no id."""
        try:
            point = anchor_id(asset_id)
        except ValueError:
            return None
        with self._call("reading an asset") as client:
            found = client.retrieve(self._name, [point], with_payload=True)
        payload = dict(found[0].payload or {}) if found else {}
        return payload if payload.get("asset_id") == asset_id else None

    def windows(self, asset_id: str, generation: str, from_ms: int, limit: int) -> list[Hit]:
        """Live windows of the asset's generation that begin at `from_ms` or later, in the order of
        time, their score 0."""
        owner = (
            Condition("asset_id", equals=asset_id),
            Condition("generation", equals=generation),
            Condition(ORDERED_BY, at_least=from_ms),
        )
        with self._call("reading an asset's windows") as client:
            if (arrays := self._arrays(client)) is not None:
                rows = self._rows.let_through(arrays, owner)
                first = self._rows.in_order_of(ORDERED_BY, rows)[:limit].tolist()
                there = [
                    Hit(str(arrays.ids_inv[row]), 0.0, deepcopy(self._rows.payloads[row]))
                    for row in first
                ]
                return _in_order(there)
            found, _ = client.scroll(
                self._name,
                scroll_filter=matching(LIVE, where=owner),
                limit=limit,
                order_by=q.OrderBy(key=ORDERED_BY),
                with_payload=True,
            )
        hits = [Hit(str(point.id), 0.0, point.payload or {}) for point in found]
        return _in_order(hits)

    def count(self, where: Sequence[Condition] = ()) -> int:
        """Live windows that the conditions let through; without any, as many as a server knows of
        without looking at each, which it can only guess for several conditions."""
        fields = LIVE if where else LIVE[:1]
        with self._call("counting") as client:
            if (arrays := self._arrays(client)) is not None:
                return len(self._rows.let_through(arrays, where))
            counted = client.count(
                self._name,
                count_filter=matching(fields, where=where),
                exact=self._local or bool(where),
            )
        return counted.count

    def indexed(self, fields: Sequence[str]) -> list[str]:
        """Those of the fields that have an index here, without which a server would look at every
        point."""
        if self._local:
            return list(fields)
        with self._call("reading the collection") as client:
            known = client.get_collection(self._name).payload_schema
        return [field for field in fields if indexed(known, field, prefix=False)]

    def values(self, field: str, where: Sequence[Condition], limit: int) -> FieldCounts:
        """Of a keyword, or of what is true or false; the commonest first, and by value."""
        with self._call("counting values") as client:
            if (arrays := self._arrays(client)) is not None:
                counts = self._rows.counts(field, self._rows.let_through(arrays, where))
                return FieldCounts(field, _commonest(counts.items(), limit))
            found = client.facet(
                self._name, field, facet_filter=matching(LIVE, where=where), limit=limit
            )
        return FieldCounts(field, _commonest([(hit.value, hit.count) for hit in found.hits], limit))

    def extreme(self, field: str, where: Sequence[Condition], *, most: bool) -> Any:
        """The least or the most of a number or a time; None where no window has it."""
        direction = q.Direction.DESC if most else q.Direction.ASC
        with self._call("looking for the ends of a range") as client:
            if (arrays := self._arrays(client)) is not None:
                rows = self._rows.in_order_of(field, self._rows.let_through(arrays, where))
                return self._rows.payloads[rows[-1 if most else 0]][field] if len(rows) else None
            found, _ = client.scroll(
                self._name,
                scroll_filter=matching(LIVE, where=where),
                limit=1,
                order_by=q.OrderBy(key=field, direction=direction),
                with_payload=[field],
            )
        return (found[0].payload or {}).get(field) if found else None

    def _arrays(self, client: QdrantClient) -> Arrays | None:
        """Of a folder's collection, just looked at."""
        arrays = arrays_of(client, self._name) if self._local else None
        if arrays is not None:
            self._rows.look(arrays)
        return arrays


def _in_order(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: int(hit.payload["segment_index"]))


def _commonest(counts: Iterable[tuple[Any, int]], limit: int) -> tuple[tuple[str | bool, int], ...]:
    values = sorted(((_plain(v), n) for v, n in counts), key=lambda v: (-v[1], str(v[0])))
    return tuple(values[:limit])


def _plain(value: Any) -> str | bool:
    return value if isinstance(value, bool) else str(value)
