"""A graph is waited for until it is built: what the status alone would pass, is not passed."""

from __future__ import annotations

from pathlib import Path

import pytest
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable
from pipeline.index import building
from pipeline.index.building import Building, Pace, Progress, least_indexed, wait_built
from pipeline.index.collections import Collections, open_collections
from pipeline.index.vector_index import open_index
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, load

SEGMENTS = 20  # each has `vision`, every second one `audio`; an anchor has both


@pytest.fixture
def built_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "POLL_EVERY_S", 0.01)
    monkeypatch.setattr(building, "STALLED_POLLS", 20)


def filled(served: Served, folder: Path) -> None:
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        load(index, folder, [("a.mp4", "g1", SEGMENTS)], 1)


def waited(collections: Collections) -> list[tuple[int, int]]:
    said: list[tuple[int, int]] = []
    collections.wait_built("media-1", lambda now: said.append((now.indexed_points, now.points)))
    return said


@only_stand_ins
@pytest.mark.usefixtures("built_soon")
def test_a_queue_is_waited_for_though_it_says_green(served: Served, tmp_path: Path) -> None:
    filled(served, tmp_path)
    points = SEGMENTS + 1
    served.server.queued = [points, points, 8, 0]
    with open_collections(served.settings) as collections:
        said = waited(collections)
    assert said[:3] == [(0, points), (0, points), (points - 8, points)], "in points"
    assert served.server.queued == [0]


@only_stand_ins
@pytest.mark.usefixtures("built_soon")
def test_a_status_that_is_yellow_again_begins_anew(served: Served, tmp_path: Path) -> None:
    filled(served, tmp_path)
    served.server.busy = 3
    with open_collections(served.settings) as collections:
        assert len(waited(collections)) == 3 + 1, "green twice, and the second is the last"


@only_stand_ins
@pytest.mark.usefixtures("built_soon")
def test_vectors_that_must_be_indexed_are_waited_for(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a server that tells no optimisations."""
    filled(served, tmp_path)
    monkeypatch.setattr(building, "least_indexed", lambda *_: 30)
    served.server.tells_optimizations = False
    served.server.indexed = [0, 10, 20, 30]
    with open_collections(served.settings) as collections:
        said = waited(collections)
    points = SEGMENTS + 1
    assert [indexed for indexed, _ in said[:4]] == [0, 7, 14, points], "of 30 vectors"
    assert len(said) == 3 + building.QUIET_POLLS - 1, "and it stays so"
    asked = [path for _, path in served.server.requests if path.endswith("/optimizations")]
    assert len(asked) == 1, "who does not tell is asked once"


@only_stand_ins
@pytest.mark.usefixtures("built_soon")
def test_what_is_never_indexed_is_not_waited_for_in_vain(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(served, tmp_path)
    monkeypatch.setattr(building, "least_indexed", lambda *_: 1_000)
    with open_collections(served.settings) as collections:
        assert len(waited(collections)) == building.STALLED_POLLS


def test_a_real_graph_is_waited_for(served: Served, tmp_path: Path) -> None:
    filled(served, tmp_path)
    with open_collections(served.settings) as collections:
        collections.build_graph("media-1")
        waited(collections)
        assert collections.information("media-1").status is q.CollectionStatus.GREEN


def information(*, threshold_kb: int | None, segments: int, m: int = 16) -> q.CollectionInfo:
    return q.CollectionInfo.model_validate(
        {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": segments,
            "payload_schema": {},
            "config": {
                "params": {
                    "vectors": {
                        "vision": {"size": 1024, "distance": "Cosine"},
                        "audio": {"size": 1024, "distance": "Cosine", "datatype": "float16"},
                    }
                },
                "hnsw_config": {"m": m, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                    "indexing_threshold": threshold_kb,
                },
            },
        }
    )


@pytest.mark.parametrize(
    ("threshold_kb", "segments", "m", "vectors", "least"),
    [
        (10_000, 2, 16, {"vision": 100_000}, 100_000 - 2 * 2_500),
        (10_000, 2, 16, {"audio": 100_000}, 100_000 - 2 * 5_000),
        (10_000, 2, 16, {"vision": 6_000, "audio": 9_999}, 1_000),
        (10_000, 9, 16, {"vision": 22_500}, 0),
        (None, 2, 16, {"vision": 100_000}, 100_000 - 2 * 5_000),
        (0, 2, 16, {"vision": 100_000}, 0),
        (10_000, 2, 0, {"vision": 100_000}, 0),
    ],
)
def test_small_segments_need_no_graph(
    threshold_kb: int | None, segments: int, m: int, vectors: dict[str, int], least: int
) -> None:
    found = information(threshold_kb=threshold_kb, segments=segments, m=m)
    assert least_indexed(found, vectors) == least


def test_points_are_told_where_only_vectors_are_known() -> None:
    now = Building(True, 150, 300, 300, 200, None)
    assert (now.indexed_points, now.built) == (100, False)
    assert Building(True, 0, 0, 0, 0, None).built


def test_how_long_it_may_take_goes_by_the_pace_that_was_seen() -> None:
    pace = Pace()
    looks = [(0.0, 1_000), (5.0, 1_000), (10.0, 3_000), (20.0, 5_000), (21.0, 10_000)]
    left = [pace.seen(now_s, indexed, 10_000).seconds_left for now_s, indexed in looks]
    assert left == [None, None, 7_000 / 200, 5_000 / 200, None]
    assert pace.seen(30.0, 0, 10_000).seconds_left is None, "begun anew: nothing is known"
    assert pace.seen(40.0, 1_000, 10_000).seconds_left == 90


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "1,000 of 2,000 points"),
        (3.2, "1,000 of 2,000 points, about 4 s left"),
        (240.0, "1,000 of 2,000 points, about 4 min left"),
        (9_000.0, "1,000 of 2,000 points, about 2.5 h left"),
    ],
)
def test_it_is_told_in_words(seconds: float | None, words: str) -> None:
    assert str(Progress(1_000, 2_000, seconds)) == words


@only_stand_ins
def test_a_broken_collection_is_told(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(served, tmp_path)
    with open_collections(served.settings) as collections:
        found = collections.information("media-1")
        found.status = q.CollectionStatus.RED
        client = collections.connection.client
        monkeypatch.setattr(client, "get_collection", lambda _: found)
        with pytest.raises(IndexUnavailable, match="is red"):
            wait_built(collections.connection, "media-1", lambda *_: None)
