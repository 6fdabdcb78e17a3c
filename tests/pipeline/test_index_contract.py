"""What the rest of the pipeline asks of a collection on a server: the same by REST and by gRPC."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import IndexMismatch, IndexUnavailable
from pipeline.ids import asset_id
from pipeline.index.collections import open_collections
from pipeline.index.errors import IndexRefused
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import Status
from pipeline.settings_index import IndexSettings
from tests.support import qdrant_grpc, qdrant_server
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, bad, live, load, rows_of, unit, whole
from tests.support.qdrant_grpc import grpc_side

A, B = asset_id("media", "a.mp4"), asset_id("media", "b.mp4")


def test_assets_come_change_and_go(on_server: VectorIndex, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 5), ("b.mp4", "g1", 2)], 1)
    load(on_server, tmp_path, [("a.mp4", "g2", 3)], 2)
    assert live(on_server) == {"a.mp4": whole("g2", 3), "b.mp4": whole("g1", 2)}
    assert on_server.flipped([A, B]) == {A: (2, "g2"), B: (1, "g1")}
    assert (on_server.count(), on_server.count_assets()) == (5, 2)
    assert on_server.newest_token(0) == 2
    assert {payload["key"] for page in on_server.anchors(1) for payload in page} == {
        "a.mp4",
        "b.mp4",
    }
    on_server.remove([A], 1)
    assert on_server.count() == 5, "a later run's"
    on_server.remove([A], 2)
    assert live(on_server) == {"b.mp4": whole("g1", 2)}


def test_tenants_with_a_collection_each_do_not_meet(served: Served, tmp_path: Path) -> None:
    other = served.settings.model_copy(update={"collection": "others"})
    with open_index(served.settings) as ours, open_index(other) as theirs:
        for index, generation in ((ours, "g1"), (theirs, "g2")):
            index.ensure_collection(SPACES)
            load(index, tmp_path, [("a.mp4", generation, 3)], 1)
        theirs.remove([A], 2)
        assert (live(ours), live(theirs)) == ({"a.mp4": whole("g1", 3)}, {})
        assert [hit.payload["generation"] for hit in ours.query("vision", unit("any"), 9)] == (
            ["g1"] * 3
        )
        assert theirs.query("vision", unit("any"), 9) == []
    with open_collections(other) as collections:
        collections.drop("others-1")
    with open_index(served.settings) as ours:
        assert live(ours) == {"a.mp4": whole("g1", 3)}


def test_a_query_finds_the_nearest_with_its_payload(on_server: VectorIndex, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 4), ("b.mp4", "g1", 4)], 1)
    wanted = rows_of("b.mp4", "g1", 4)[2]
    [hit] = on_server.query("vision", wanted.vectors["vision"], 1)
    assert (hit.point_id, hit.score) == (wanted.point_id, pytest.approx(1.0, abs=1e-5))
    assert {name: hit.payload[name] for name in wanted.payload} == wanted.payload
    ids = [row.point_id for row in rows_of("a.mp4", "g1", 4)[:2]]
    found = on_server.query("vision", unit("any"), 9, among=ids, exact=True, with_payload=False)
    assert {hit.point_id for hit in found} == set(ids)
    assert all(hit.payload.keys() == {"asset_id"} for hit in found)


def test_points_are_read_page_by_page_and_one_by_one(
    on_server: VectorIndex, tmp_path: Path
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 5)], 1)
    rows = rows_of("a.mp4", "g1", 5)
    points = on_server.points()
    read = [point for page in points.pages(["key", "live"]) for point in page]
    assert len(read) == 6
    assert {point.point_id for point in read} > {row.point_id for row in rows}
    fetched = points.fetch([row.point_id for row in rows])
    for row in rows:
        stored = fetched[row.point_id].vectors
        assert stored.keys() == row.vectors.keys()
        assert all(np.allclose(stored[n], v, atol=1e-6) for n, v in row.vectors.items())
    points.delete([rows[0].point_id, rows[0].point_id])
    assert on_server.count() == 4
    assert points.datatypes() == {"vision": "float32", "audio": "float32"}


def test_a_collection_is_made_built_shown_and_dropped(served: Served) -> None:
    settings = served.settings.model_copy(update={"quantization": "int8", "shards": 2})
    with open_collections(settings) as collections:
        collections.create("media-1", SPACES, graph=False)
        collections.build_graph("media-1")
        collections.wait_built("media-1", lambda *_: None)
        collections.show("media", "media-1")
        collections.create("media-2", SPACES)
        collections.show("media", "media-2")
        assert collections.behind("media") == "media-2"
        assert collections.aliases_of("media-1") == set()
        collections.drop("media-1")
        assert collections.names() == {"media-2"}
        assert {n: v.size for n, v in collections.vectors_of("media").items()} == {
            "vision": 8,
            "audio": 8,
        }


@only_stand_ins
def test_a_collection_is_made_as_the_settings_say(served: Served) -> None:
    settings = served.settings.model_copy(update={"quantization": "int8", "shards": 2})
    with open_collections(settings) as collections:
        collections.create("media-1", SPACES, graph=False)
        collections.build_graph("media-1")
    made = served.server.created["media-1"]
    assert made["hnsw_config"]["m"] == 0
    assert made["shard_number"] == 2
    assert made["quantization_config"]["scalar"]["type"] == "int8"
    assert served.server.changed["media-1"][0]["hnsw_config"]["m"] == settings.hnsw_m


def test_what_does_not_fit_and_what_is_gone_is_named(
    served: Served, on_server: VectorIndex, tmp_path: Path
) -> None:
    with pytest.raises(IndexMismatch, match="8 dimensions, and big gives 1024"):
        on_server.ensure_collection([replace(SPACES[0], dimension=1024, encoder="big")])
    load(on_server, tmp_path, [("a.mp4", "g1", 2)], 1)
    with open_collections(served.settings) as collections:
        collections.drop("media-1")
    with pytest.raises(IndexRefused, match="no such collection") as raised:
        on_server.count()
    assert raised.value.code == "no_collection"


@only_stand_ins
def test_a_server_that_ignores_conditions_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (qdrant_server, qdrant_grpc):
        monkeypatch.setattr(module, "VERSION", "1.15.5")
    with pytest.raises(IndexRefused, match=r"is 1\.15\.5") as raised, open_index(served.settings):
        pass
    assert raised.value.code == "index_too_old"
    for version in ("1.16.0", "1.20.0-dev", "nightly"):
        for module in (qdrant_server, qdrant_grpc):
            monkeypatch.setattr(module, "VERSION", version)
        with open_index(served.settings):
            pass


@pytest.mark.server
def test_an_open_index_outlives_a_restart_of_the_server() -> None:
    """How long it takes to find it again stands in docs/performance.md."""
    with qdrant_server.qdrant_server() as server, ExitStack() as stack:
        with grpc_side(server) as port:
            index = stack.enter_context(open_index(IndexSettings(url=server.url, grpc_port=port)))
            assert not index.exists()
        for _ in range(5):
            with pytest.raises(IndexUnavailable, match="cannot be reached"):
                index.exists()
        with grpc_side(server, port):
            until = time.monotonic() + 60
            while not _answers(index):
                assert time.monotonic() < until
                time.sleep(0.05)


@pytest.mark.server
def test_who_opens_an_index_finds_a_server_that_is_back() -> None:
    """Though another channel of the process has just seen it away."""
    with qdrant_server.qdrant_server() as server, ExitStack() as stack:
        with grpc_side(server) as port:
            settings = IndexSettings(url=server.url, grpc_port=port)
            other = stack.enter_context(open_index(settings))
        for _ in range(10):
            with pytest.raises(IndexUnavailable, match="cannot be reached"):
                other.exists()
            time.sleep(0.2)  # its waits grow
        with grpc_side(server, port), open_index(settings) as index:
            assert not index.exists()


def _answers(index: VectorIndex) -> bool:
    try:
        return not index.exists()
    except IndexUnavailable:
        return False


def test_what_turned_bad_goes_and_what_failed_stays(on_server: VectorIndex, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 2), ("b.mp4", "g1", 2)], 1)
    turned = [bad("a.mp4", "g2", Status.REJECTED), bad("b.mp4", "g2", Status.FAILED)]
    assert load(on_server, tmp_path, [], 2, turned).retired == 1
    assert live(on_server) == {"b.mp4": whole("g1", 2)}
