"""A collection looked through, on the local engine and on a server by REST and gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from encoders.modality import Modality
from pipeline.ids import asset_id
from pipeline.index.browsing import Browser
from pipeline.index.conditions import Condition
from pipeline.index.vector_index import VectorIndex
from pipeline.search.driving import drive
from pipeline.search.query import Query, QueryTerm
from pipeline.search.steps import timeline_steps
from tests.support.fixtures_qdrant import WAYS, opened_index
from tests.support.invented_assets import unit

pytestmark = pytest.mark.server
ASSET = asset_id("media", "b.mp4")


@pytest.fixture(params=["folder", *WAYS])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    """Three videos of 3, 8 and 5 windows of two seconds; every other window has sound."""
    assets = [("a.mp4", "g", 3), ("b.mp4", "g", 8), ("c.mp4", "g", 5)]
    with opened_index(request, request.param, tmp_path, assets) as index:
        yield index


@pytest.fixture
def browser(filled: VectorIndex) -> Browser:
    return filled.browser()


def test_an_asset_by_its_id(browser: Browser) -> None:
    anchor = browser.anchor(ASSET)
    assert anchor is not None
    assert (anchor["key"], anchor["segments"], anchor["generation"]) == ("b.mp4", 8, "g")
    assert browser.anchor(asset_id("media", "nobody.mp4")) is None
    for no_id in ("", "b.mp4", "../b", ASSET[:-1]):
        assert browser.anchor(no_id) is None


def test_windows_in_the_order_of_time_from_a_time_on(browser: Browser) -> None:
    whole = browser.windows(ASSET, "g", 0, 100)
    assert [hit.payload["start_ms"] for hit in whole] == list(range(0, 16_000, 2000))
    paged, at = [], 0
    while page := browser.windows(ASSET, "g", at, 3):
        paged += page
        at = page[-1].payload["start_ms"] + 1
    assert [hit.point_id for hit in paged] == [hit.point_id for hit in whole]
    assert browser.windows(ASSET, "another", 0, 10) == []


def test_values_with_their_counts(browser: Browser) -> None:
    assert browser.values("media_type", (), 10).values == (("video", 16),)
    assert browser.values("has_audio", (), 10).values == ((True, 9), (False, 7))
    of_one = (Condition("key", equals="c.mp4"),)
    assert browser.values("has_audio", of_one, 10).values == ((True, 3), (False, 2))
    assert browser.values("key", (), 2).values[0] == ("b.mp4", 8)
    assert browser.count() == 16
    assert browser.count(of_one) == 5


def test_the_ends_of_a_range(browser: Browser) -> None:
    assert browser.extreme("asset_duration_ms", (), most=False) == 6000
    assert browser.extreme("asset_duration_ms", (), most=True) == 16_000
    assert browser.extreme("last_modified", (), most=True) == "2026-01-01T00:00:00Z"
    nothing = (Condition("key", equals="nobody.mp4"),)
    assert browser.extreme("size_bytes", nothing, most=True) is None


def test_each_window_of_an_asset_has_its_cosines(filled: VectorIndex) -> None:
    seen = QueryTerm(Modality.VISION, unit("b.mp4", "g", 3), required=True, part=1)
    heard = QueryTerm(Modality.AUDIO, unit("b.mp4", "g", 4, "sound"), required=True, part=2)
    query = Query((seen,), ("vision",))
    scores = drive(timeline_steps(query, ASSET), filled.asker())
    windows = filled.browser().windows(ASSET, "g", 0, 100)
    assert set(scores) == {hit.point_id for hit in windows}
    best = max(windows, key=lambda hit: scores[hit.point_id]["vision"])
    assert best.payload["segment_index"] == 3
    both = Query((seen, replace(heard, part=2)), ("vision", "audio"),
                 using_of_part=((1, ("vision",)), (2, ("audio",))))  # fmt: skip
    scores = drive(timeline_steps(both, ASSET), filled.asker())
    assert scores[windows[4].point_id]["audio"] == pytest.approx(1.0, abs=1e-3)
    assert set(scores[windows[3].point_id]) == {"vision"}
