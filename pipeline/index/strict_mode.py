"""The limits of a collection that we make: Qdrant's strict mode, one row a limit, with its reason.

All that sensedex asks passes under them, and the stand-ins for a server that the tests use hold us
to that. docs/strict-mode.md says what they are for, and how one is raised.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_client import models as q


@dataclass(frozen=True, slots=True)
class Limit:
    """A field of Qdrant's strict mode, its value here, and what of ours has to pass under it."""

    name: str
    value: int | bool
    why: str


LIMITS = (
    Limit(
        "unindexed_filtering_retrieve",
        False,
        "each field that we filter by has an index; without one, every payload is read",
    ),
    Limit(
        "unindexed_filtering_update",
        False,
        "the same of what is deleted or changed by a filter",
    ),
    Limit(
        "max_query_limit",
        10_000,
        "a page of points is 2,000; a search asks for 5 windows a moment, and no more than this",
    ),
    Limit(
        "condition_max_size",
        5_000,
        "a condition of ours names 2,000 points or assets at most",
    ),
    Limit(
        "filter_max_conditions",
        1_024,
        "a sweep has 2 conditions for each of 256 assets, and 4 more",
    ),
    Limit(
        "upsert_max_batchsize",
        4_096,
        "the most that `index.upsert_points` takes",
    ),
    Limit(
        "search_max_hnsw_ef",
        10_000,
        "the most that `index.hnsw_ef` takes",
    ),
    Limit(
        "search_max_oversampling",
        100,
        "the most that `index.oversampling` takes",
    ),
    Limit(
        "search_max_batchsize",
        100,
        "a search of 16 terms over 3 vectors, with 8 words, is 59 in one request",
    ),
    Limit(
        "search_allow_exact",
        True,
        "a rebuild's gate and our counts ask exactly; without that nothing can be proved",
    ),
)


def strict_mode() -> q.StrictModeConfig:
    """As a new collection is told it."""
    return q.StrictModeConfig(enabled=True, **{limit.name: limit.value for limit in LIMITS})
