"""The limits of a collection on a server: what is refused by them, and that nothing of ours is."""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Le
from qdrant_client import models as q

from encoders.modality import Modality
from pipeline.ids import asset_id
from pipeline.index.collections import open_collections
from pipeline.index.errors import IndexRefused
from pipeline.index.points import POINTS_PER_PAGE
from pipeline.index.question import matching
from pipeline.index.strict_mode import LIMITS, strict_mode
from pipeline.index.updates import IDS_PER_REQUEST, all_of, deletion, hidden, superseded
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.payload_schema import FIELDS
from pipeline.run import steps
from pipeline.search.query import Query, QueryTerm
from pipeline.search.searcher import search_index
from pipeline.search.steps import HITS_PER_MOMENT
from pipeline.settings_index import IndexSettings
from tests.support.fixtures_qdrant import Served
from tests.support.index_damage import engine
from tests.support.invented_assets import SPACES, live, load, rows_of, unit, whole
from tests.support.qdrant_limits import Limits

VALUES = {limit.name: limit.value for limit in LIMITS}
BEGIN, END = "<!-- limits, as in pipeline/index/strict_mode.py -->\n", "<!-- end of limits -->"


def test_what_holds_up_others_is_refused_and_named(on_server: VectorIndex, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 2)], 1)
    asked = unit("any")

    def delete_by(wanted: q.Filter) -> None:
        on_server._connection.update("media", deletion(wanted), "deleting")

    refused: dict[str, Any] = {
        'Limit exceeded 10001 > 10000 for "limit"': lambda: on_server.query(
            "vision", asked, 10_001
        ),
        'Index required but not found for "mime"': lambda: narrowed(
            on_server, [("mime", "video/mp4")]
        ),
        'Index required but not found for "etag"': lambda: delete_by(matching([("etag", "e")])),
        r"Condition size limit reached \(5001 > 5000\)": lambda: on_server.query(
            "vision", asked, 1, among=[str(uuid.UUID(int=number)) for number in range(5_001)]
        ),
        r"Filter condition limit reached \(1025 > 1024\)": lambda: narrowed(
            on_server, [("key", "a.mp4")] * 1_025
        ),
        r"Condition size limit reached \(5002 > 5000\)": lambda: delete_by(
            all_of([asset_id("media", str(number)) for number in range(5_002)], 9)
        ),
    }
    for words, act in refused.items():
        with pytest.raises(IndexRefused, match=words) as raised:
            act()
        assert raised.value.code == "index_limit"
        assert "docs/strict-mode.md" in raised.value.remedy
    assert live(on_server) == {"a.mp4": whole("g1", 2)}, "it was refused before anything was done"


def narrowed(index: VectorIndex, fields: list[tuple[str, Any]]) -> None:
    """A search by any field, as other clients may ask: ours names an indexed one or none."""
    with index._connection.call("searching") as client:
        by_fields = matching(fields)
        client.query_points("media", unit("any").tolist(), using="vision", query_filter=by_fields)


def test_a_batch_too_large_is_refused(on_server: VectorIndex) -> None:
    points = [
        q.PointStruct(id=number, vector={}, payload={"kind": "segment"}) for number in range(4_097)
    ]
    with pytest.raises(IndexRefused, match=r"4097 > 4096"), on_server._call("upserting") as client:
        client.upsert("media", points)
    assert on_server.count(live_only=False) == 0


def test_the_largest_that_we_ask_passes(
    served: Served, on_server: VectorIndex, tmp_path: Path
) -> None:
    """A film that is too long to be named by its points, where there is a server that takes it in
    less than minutes, and as many assets as a step takes."""
    many = IDS_PER_REQUEST + 1 if served.stand_in is None else 40
    small = [(f"{number}.jpg", "g1", 1) for number in range(8)]
    load(on_server, tmp_path, [*small, ("film.mp4", "g1", many)], 1, batch_rows=512)
    load(on_server, tmp_path, [("film.mp4", "g2", many + 1)], 2, batch_rows=512)
    assert on_server.count() == len(small) + many + 1
    sizes = [len(page) for page in on_server.points().pages(["kind"])]
    assert sizes[0] == min(POINTS_PER_PAGE, sum(sizes))
    ids = [row.point_id for row in rows_of("film.mp4", "g2", IDS_PER_REQUEST)]
    assert on_server.query("vision", unit("any"), 9, among=ids, exact=True)
    on_server.sweep_leftovers([asset_id("media", key) for key, _, _ in small], 3)
    never = [asset_id("media", f"{number}.gone") for number in range(2 * IDS_PER_REQUEST + 1)]
    on_server.remove([*never, asset_id("media", "film.mp4")], 3)
    assert on_server.count(live_only=False) == len(small)


def test_a_search_for_more_moments_than_five_times_fit_passes(
    on_server: VectorIndex, tmp_path: Path
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 3)], 1)
    for limit in (2_000, 2_001, 9_999):
        query = Query((QueryTerm(Modality.TEXT, unit("any")),), ("vision",), limit)
        assert search_index(on_server, query)


def test_steps_of_full_size_are_within_the_limits() -> None:
    """By the rule that the stand-in has from the server, without one: their sizes are constants."""
    limits = Limits(
        strict_mode().model_dump(exclude_none=True),
        {field.name: str(field.index) for field in FIELDS if field.index},
    )
    assets = [asset_id("media", str(number)) for number in range(steps.ASSETS_PER_REQUEST)]
    for wanted in (
        superseded(dict.fromkeys(assets, "g"), 1),
        hidden(assets, 1),
        all_of([asset_id("media", str(number)) for number in range(IDS_PER_REQUEST)], 1),
        matching([("live", True)], [str(number) for number in range(IDS_PER_REQUEST)]),
    ):
        limits.check_change(wanted)
        limits.check_count(q.CountRequest(filter=wanted, exact=True))
    limits.check_scroll(q.ScrollRequest(limit=POINTS_PER_PAGE))


def test_the_limits_are_what_the_settings_take() -> None:
    for limit, setting in (
        ("upsert_max_batchsize", "upsert_points"),
        ("search_max_hnsw_ef", "hnsw_ef"),
        ("search_max_oversampling", "oversampling"),
    ):
        bounds = IndexSettings.model_fields[setting].metadata
        assert [bound.le for bound in bounds if isinstance(bound, Le)] == [VALUES[limit]], setting
    assert VALUES["max_query_limit"] >= 2_000 * HITS_PER_MOMENT


def test_a_limit_may_be_raised_and_strict_mode_left_out(served: Served) -> None:
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        with pytest.raises(IndexRefused, match="10001 > 10000"):
            index.query("vision", unit("any"), 10_001)
        raised = q.StrictModeConfig(max_query_limit=20_000)
        engine(index).update_collection("media-1", strict_mode_config=raised)
        assert index.query("vision", unit("any"), 10_001) == []
        with pytest.raises(IndexRefused, match="Index required"):
            narrowed(index, [("mime", "video/mp4")])
    without = served.settings.model_copy(update={"strict_mode": False})
    with open_collections(without) as collections:
        collections.create("media-2", SPACES)
        strict = collections.information("media-2").config.strict_mode_config
        assert strict is None or not strict.enabled
        limited = collections.information("media-1").config.strict_mode_config
        assert limited is not None
        assert (limited.max_query_limit, limited.condition_max_size) == (20_000, 5_000)


def test_the_page_has_the_limits(root_dir: Path) -> None:
    page = (root_dir / "docs/strict-mode.md").read_text()
    rows = page.partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    drawn = [
        (f"`{limit.name}`", str(limit.value).lower() if isinstance(limit.value, bool) else
         f"{limit.value:,}", limit.why)
        for limit in LIMITS
    ]  # fmt: skip
    assert [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows] == drawn
    assert not set(chain.from_iterable(drawn)) & {""}
