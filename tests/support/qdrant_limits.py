"""Strict mode of the stand-in for a Qdrant server: the limits of a collection, held as the server
holds them, before anything is done, and refused in its words.

What it checks of which request is the server's way (1.19): points that are named by their ids are
under no limit, a filter of a read or of a change is, the condition of an upsert is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import models as q

KINDS = {str: "keyword", bool: "bool", int: "integer"}


@dataclass
class Limits:
    """Of one collection: its strict mode as JSON has it, the kinds of its payload indexes, and
    those that find prefixes."""

    strict: dict[str, Any] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    by_prefix: set[str] = field(default_factory=set)

    def check_query(self, asked: q.QueryRequest, *, graph: bool) -> None:
        self._check_limit(asked.limit or 10)
        self._check_read(asked.filter)
        if asked.params is None:
            return
        self._check_exact(asked.params.exact)
        chosen = asked.params.quantization
        if chosen is not None:
            self._at_most(chosen.oversampling, "search_max_oversampling", "oversampling")
        self._at_most(asked.params.hnsw_ef, "search_max_hnsw_ef", "hnsw_ef")
        if not graph and self._forbids("search_allow_exact"):
            _refuse(
                "Request is forbidden because global vector indexing is disabled "
                "(hnsw_config.m = 0)",
                "Use tenant-specific filter, enable global vector indexing or enable strict mode "
                "`search_allow_exact` option",
            )

    def check_batch(self, searches: int) -> None:
        self._at_most(searches, "search_max_batchsize", "search batch size")

    def check_scroll(self, asked: q.ScrollRequest) -> None:
        self._check_limit(asked.limit or 10)
        self._check_read(asked.filter)
        order = asked.order_by
        key = order.key if isinstance(order, q.OrderBy) else order
        if key is not None and self.indexes.get(key) not in ("integer", "datetime"):
            raise ValueError(
                f"Bad request: No range index for `order_by` key: {key}. Please create one to use "
                "`order_by`."
            )

    def check_facet(self, asked: q.FacetRequest) -> None:
        """Whatever strict mode says: there is nothing to count by without an index."""
        self._check_read(asked.filter)
        if self.indexes.get(asked.key) not in ("keyword", "bool", "integer"):
            raise ValueError(
                f"Bad request: No appropriate index for faceting: `{asked.key}`. Please create one "
                "to facet on this field."
            )

    def check_count(self, asked: q.CountRequest) -> None:
        self._check_read(asked.filter)
        self._check_exact(asked.exact)

    def check_upsert(self, points: int) -> None:
        self._at_most(points, "upsert_max_batchsize", "upsert limit")

    def check_change(self, wanted: q.Filter | None) -> None:
        """Of what a filter deletes or sets."""
        self._check_filter(wanted, "unindexed_filtering_update")

    def check_step(self, step: q.UpdateOperation) -> None:
        """Of a batch, all steps of which are checked before the first is done."""
        if isinstance(step, q.UpsertOperation) and isinstance(step.upsert, q.PointsList):
            self.check_upsert(len(step.upsert.points))
        elif isinstance(step, q.SetPayloadOperation):
            self.check_change(step.set_payload.filter)
        elif isinstance(step, q.DeleteOperation) and isinstance(step.delete, q.FilterSelector):
            self.check_change(step.delete.filter)

    def _check_read(self, wanted: q.Filter | None) -> None:
        self._check_filter(wanted, "unindexed_filtering_retrieve")

    def _check_limit(self, limit: int) -> None:
        self._at_most(limit, "max_query_limit", "limit")

    def _check_exact(self, exact: bool | None) -> None:
        if exact and self._forbids("search_allow_exact"):
            _refuse("Exact search disabled!", "Set exact=false.")

    def _check_filter(self, wanted: q.Filter | None, unindexed: str) -> None:
        if wanted is None or not self.strict.get("enabled"):
            return
        conditions = list(_conditions(wanted))
        if self._forbids(unindexed):
            for condition in conditions:
                self._check_index(condition)
        most = self.strict.get("filter_max_conditions")
        if most is not None and len(conditions) > most:
            _refuse(
                f"Filter condition limit reached ({len(conditions)} > {most})",
                "Reduce the amount of conditions of your filter.",
            )
        largest = max(map(_size, conditions), default=0)
        most = self.strict.get("condition_max_size")
        if most is not None and largest > most:
            _refuse(
                f"Condition size limit reached ({largest} > {most})",
                "Reduce the size of your condition.",
            )

    def _check_index(self, condition: Any) -> None:
        if not isinstance(condition, q.FieldCondition):
            return
        wanted, prefix = _kind(condition), isinstance(condition.match, q.MatchPrefix)
        has = self.indexes.get(condition.key)
        if has != wanted or (prefix and condition.key not in self.by_prefix):
            wanted += " (with prefix: true)" if prefix else ""
            _refuse(
                f'Index required but not found for "{condition.key}" of one of the following '
                f"types: [{wanted}]",
                "Create an index for this key or use a different filter.",
            )

    def _at_most(self, value: float | None, limit: str, name: str) -> None:
        most = self.strict.get(limit) if self.strict.get("enabled") else None
        if most is not None and value is not None and value > most:
            _refuse(
                f'Limit exceeded {value} > {most} for "{name}"',
                f'Reduce the "{name}" parameter to or below {most}.',
            )

    def _forbids(self, name: str) -> bool:
        return bool(self.strict.get("enabled")) and self.strict.get(name) is False


def _conditions(wanted: q.Filter) -> Iterator[Any]:
    """Every condition, those of filters within it too."""
    for part in (wanted.must, wanted.must_not, wanted.should):
        for condition in part if isinstance(part, list) else [] if part is None else [part]:
            if isinstance(condition, q.Filter):
                yield from _conditions(condition)
            else:
                yield condition


def _size(condition: Any) -> int:
    """What is named twice counts once: the server keeps both kinds as sets."""
    if isinstance(condition, q.HasIdCondition):
        return len({str(point) for point in condition.has_id})
    if isinstance(condition, q.FieldCondition) and isinstance(condition.match, q.MatchAny):
        return len(set(condition.match.any))
    return 0


def _kind(condition: q.FieldCondition) -> str:
    """Of the index that it needs."""
    if condition.range is not None:
        return "datetime" if isinstance(condition.range, q.DatetimeRange) else "integer"
    return (
        "keyword"
        if isinstance(condition.match, q.MatchPrefix)
        else KINDS[type(_example(condition))]
    )


def _example(condition: q.FieldCondition) -> Any:
    if isinstance(condition.match, q.MatchAny):
        return next(iter(condition.match.any), "")
    assert isinstance(condition.match, q.MatchValue), f"no such condition here: {condition!r}"
    return condition.match.value


def _refuse(why: str, instead: str) -> None:
    raise ValueError(f"Bad request: {why}. Help: {instead}")
