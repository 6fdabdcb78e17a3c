"""Moments: windows merged, fused and ordered."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from pipeline.index.types import Hit
from pipeline.search.moments import format_span, moments_of


def hit(asset: str, index: int, score: float) -> Hit:
    payload = {
        "asset_id": asset,
        "uri": f"s3://b/{asset}",
        "key": asset,
        "media_type": "video",
        "segment_index": index,
        "start_ms": index * 2000,
        "end_ms": index * 2000 + 2000,
    }
    return Hit(f"{asset}-{index}", score, payload)


def test_neighbours_that_stand_out_alike_are_one_moment() -> None:
    hits = [hit("a", 3, 0.9), hit("a", 4, 0.89), hit("a", 7, 0.88), hit("b", 0, 0.5)]
    moments = moments_of({"vision": hits}, 10)
    assert [(m.key, m.start_ms, m.end_ms, m.score) for m in moments] == [
        ("a", 6000, 10_000, 0.9),
        ("a", 14_000, 16_000, 0.88),
        ("b", 0, 2000, 0.5),
    ]


def test_a_much_weaker_neighbour_stays_apart() -> None:
    hits = [hit("a", 0, 0.99), hit("a", 1, 0.97), hit("b", 0, 0.96)]
    assert [(m.start_ms, m.end_ms) for m in moments_of({"vision": hits}, 1)] == [(0, 2000)]


def test_what_several_vectors_find_comes_first() -> None:
    seen = [hit("a", 0, 0.9), hit("b", 0, 0.8), hit("c", 0, 0.7)]
    heard = [hit("b", 0, 0.3), hit("d", 0, 0.2)]
    moments = moments_of({"vision": seen, "audio": heard}, 10)
    assert moments[0].key == "b"
    assert (moments[0].vector_name, moments[0].cosine) == ("vision", 0.8)  # the closest
    assert moments[0].score > 1  # no cosine: it stands out of both lists
    assert {m.key for m in moments} == {"a", "b", "c", "d"}


def test_the_first_of_a_poor_list_is_not_the_first_of_a_good_one() -> None:
    """Nine subtitles of which none fits, and a picture that stands out of many."""
    read = [hit("told", n, 0.30 - n * 0.02) for n in range(9)]
    seen = [hit("shown", 0, 0.5), *(hit("other", n, 0.1 - n * 0.004) for n in range(20))]
    assert moments_of({"text": read, "vision": seen}, 3)[0].key == "shown"


windows = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.floats(-1, 1)),
    unique_by=lambda w: (w[0], w[1]),
    max_size=40,
)


@given(windows, st.integers(1, 20), st.integers(1, 4))
def test_moments_are_ordered_bounded_and_apart(
    found: list[tuple[str, int, float]], limit: int, per_asset: int
) -> None:
    hits = [hit(*window) for window in sorted(found, key=lambda w: -w[2])]
    moments = moments_of({"vision": hits}, limit, per_asset=per_asset)
    assert len(moments) <= limit
    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)
    for asset in "abc":
        mine = sorted((m.start_ms, m.end_ms) for m in moments if m.key == asset)
        assert len(mine) <= per_asset
        assert all(a[1] <= b[0] for a, b in pairwise(mine)), "they overlap"
    assert all(m.score == m.cosine for m in moments)
    if hits:
        assert moments[0].score == hits[0].score


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "shown"),
    [
        (0, 0, "still"),
        (72_000, 76_000, "01:12-01:16"),
        (0, 1999, "00:00-00:02"),
        (0, 928, "00:00-00:01"),
        (3_661_000, 3_663_000, "1:01:01-1:01:03"),
    ],
)
def test_a_span_reads_as_a_clock(start_ms: int, end_ms: int, shown: str) -> None:
    assert format_span(start_ms, end_ms) == shown


def test_queries_add_and_take_away() -> None:
    import numpy as np

    from encoders.modality import Modality
    from pipeline.search.query import Query, QueryTerm

    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    parts = (QueryTerm(Modality.TEXT, east), QueryTerm(Modality.VISION, north, -0.5))
    vector = Query(parts, ("vision",)).vector()
    assert vector == pytest.approx(np.array([1, -0.5]) / np.sqrt(1.25))
    with pytest.raises(SettingsError, match="cancel"):
        Query(
            (QueryTerm(Modality.TEXT, east), QueryTerm(Modality.TEXT, east, -1.0)), ("text",)
        ).vector()
    with pytest.raises(SettingsError, match="empty"):
        Query((), ("vision",))
