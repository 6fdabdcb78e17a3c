"""A question as Qdrant is asked it: by what it is filtered, how far a search looks, and how many
copies on a cluster have to agree. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from qdrant_client import models as q

from pipeline.index.conditions import OF_READERS, Condition
from pipeline.payload_fields import IndexKind
from pipeline.settings_index import IndexSettings


def matching(
    fields: Sequence[tuple[str, Any]],
    among: Sequence[str] = (),
    where: Sequence[Condition] = (),
) -> q.Filter:
    """The points that have each of these values, one of these ids, if there are any, and what the
    conditions want. What lets the fewest through stands first: local mode looks in this order."""
    wanted: list[q.Condition] = [field_condition(one) for one in where if not one.negated]
    wanted += [q.FieldCondition(key=key, match=q.MatchValue(value=value)) for key, value in fields]
    if among:
        wanted.append(q.HasIdCondition(has_id=list(among)))
    unwanted = [field_condition(one) for one in where if one.negated]
    return q.Filter(must=wanted, must_not=unwanted or None)


def field_condition(one: Condition) -> q.FieldCondition:
    """Without its negation, which is the filter's."""
    if one.is_range:
        ranged = _dates(one) if OF_READERS[one.field].index is IndexKind.DATETIME else _numbers(one)
        return q.FieldCondition(key=one.field, range=ranged)
    match: Any
    if one.prefix is not None:
        match = q.MatchPrefix(prefix=one.prefix)
    elif one.any_of:
        match = q.MatchAny(any=list(one.any_of))
    else:
        match = q.MatchValue(value=one.equals)
    return q.FieldCondition(key=one.field, match=match)


def _numbers(one: Condition) -> q.Range:
    above, at_least, below, at_most = (
        None if bound is None else float(bound) for bound in one.bounds
    )
    return q.Range(gt=above, gte=at_least, lt=below, lte=at_most)


def _dates(one: Condition) -> q.DatetimeRange:
    above, at_least, below, at_most = (
        None if bound is None else moment_of(str(bound)) for bound in one.bounds
    )
    return q.DatetimeRange(gt=above, gte=at_least, lt=below, lte=at_most)


def moment_of(text: str) -> datetime:
    """Of ISO 8601; UTC where it says no zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def search_params(
    settings: IndexSettings, oversampling: float, *, exact: bool
) -> q.SearchParams | None:
    """None in local mode, which compares with every vector. Else the same, with `exact`, whatever
    the graph and the quantization would do."""
    if settings.url is None:
        return None
    if exact:
        return q.SearchParams(exact=True, quantization=q.QuantizationSearchParams(ignore=True))
    rescored = q.QuantizationSearchParams(rescore=True, oversampling=oversampling)
    return q.SearchParams(hnsw_ef=settings.hnsw_ef, quantization=rescored)


def read_consistency(settings: IndexSettings) -> q.ReadConsistency | None:
    """Of a search on a cluster; None leaves it to the server, and in local mode there is none."""
    wanted = settings.read_consistency
    if settings.url is None:
        return None
    return q.ReadConsistencyType(wanted) if isinstance(wanted, str) else wanted
