"""A question as Qdrant is asked it: by what it is filtered, how far a search looks, and how many
copies on a cluster have to agree. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models as q

from pipeline.settings_index import IndexSettings


def matching(fields: Sequence[tuple[str, Any]], among: Sequence[str] = ()) -> q.Filter:
    """The points that have each of these values, and one of these ids, if there are any."""
    wanted: list[q.Condition] = [
        q.FieldCondition(key=key, match=q.MatchValue(value=value)) for key, value in fields
    ]
    if among:
        wanted.append(q.HasIdCondition(has_id=list(among)))
    return q.Filter(must=wanted)


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
