"""The index and the load, on Qdrant's local mode: what a reader sees after each step."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from pipeline.errors import IndexMismatch, IndexUnavailable
from pipeline.ids import anchor_id, asset_id
from pipeline.index import upserts
from pipeline.index.load import load_shard
from pipeline.index.points import StoredPoint
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import Status
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import read_segments, write_segments
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import (
    SPACES,
    bad,
    live,
    load,
    outcome,
    rows_of,
    unit,
    upsert,
    whole,
)


def test_a_load_shows_assets_whole_and_may_be_repeated(index: VectorIndex, tmp_path: Path) -> None:
    assets = [("a.mp4", "g1", 5), ("b.mp4", "g1", 1)]  # two keys of equal content
    first = load(index, tmp_path, assets)
    assert (first.points, first.assets) == (6, 2)
    assert live(index) == {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 1)}
    load(index, tmp_path, assets)
    assert index.count(live_only=False) == 6
    assert live(index) == {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 1)}


def test_a_load_that_is_done_again_hides_nothing(
    index: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader looks after every single step of the second load, by the run after a killed one."""
    assets = [("a.mp4", "g1", 5), ("b.mp4", "g1", 4)]
    load(index, tmp_path, assets, 1)
    wanted = {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 4)}
    looks = 0

    def looked_at(step: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal looks
            answer = step(*arguments, **named)
            assert live(index) == wanted
            looks += 1
            return answer

        return call

    for owner, step in ((Upserts, "put"), (VectorIndex, "count_points"), (VectorIndex, "flip")):
        monkeypatch.setattr(owner, step, looked_at(getattr(owner, step)))
    load(index, tmp_path, assets, 2)
    assert looks == 3 + 1 + 1, "three batches of three segments"


def test_a_new_generation_takes_the_place_of_the_old(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 5), ("b.mp4", "g1", 2)], 1)
    load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
    assert live(index) == {"a.mp4": whole("g2", 3), "b.mp4": whole("g1", 2)}
    assert index.count(live_only=False) == 5, "an old generation was left"


def test_before_the_flip_nothing_of_a_load_is_seen(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 2)], 1)
    upsert(index, tmp_path, rows_of("a.mp4", "g2", 4), {"sequence": 2, "run_id": "killed"})
    assert live(index) == {"a.mp4": whole("g1", 2)}
    load(index, tmp_path, [("a.mp4", "g3", 1)], 3)
    assert live(index) == {"a.mp4": whole("g3", 1)}
    assert index.count(live_only=False) == 1, "a killed run's orphans were left"


def test_rejected_goes_and_failed_stays(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 2), ("b.mp4", "g1", 2)], 1)
    turned_bad = [bad("a.mp4", "g2", Status.REJECTED), bad("b.mp4", "g2", Status.FAILED)]
    done = load(index, tmp_path, [], 2, turned_bad)
    assert done.retired == 1
    assert live(index) == {"b.mp4": whole("g1", 2)}


def test_a_late_run_changes_nothing(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g2", 2)], 5)
    load(index, tmp_path, [("a.mp4", "g1", 3)], 4)
    index.remove([asset_id("media", "a.mp4")], 4)
    assert live(index) == {"a.mp4": whole("g2", 2)}
    index.remove([asset_id("media", "a.mp4")], 6)
    assert live(index) == {}
    assert index.count(live_only=False) == 0


def test_a_file_that_lacks_segments_is_not_flipped(index: VectorIndex, tmp_path: Path) -> None:
    path = tmp_path / "short.parquet"
    write_segments(path, rows_of("a.mp4", "g1", 2), SPACES)
    with pytest.raises(IndexUnavailable, match="holds 2 segments") as raised:
        load_shard(index, read_segments(path), [outcome("a.mp4", "g1", 3)], 1, "run")
    assert raised.value.code == "shard_incomplete"
    assert live(index) == {}


def anchor_in(index: VectorIndex) -> StoredPoint:
    [anchor] = index.points().fetch([anchor_id(asset_id("media", "a.mp4"))]).values()
    return anchor


def test_the_anchor_says_what_is_live(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 4)], 3)
    anchor = anchor_in(index)
    assert anchor.payload["generation"] == "g1"
    assert (anchor.payload["segments"], anchor.payload["sequence"]) == (4, 3)
    assert "live" not in anchor.payload
    assert anchor.vectors == {}, "no search reads them"


def test_an_anchor_has_the_mean_of_its_segments_where_that_is_wanted(tmp_path: Path) -> None:
    settings = IndexSettings(path=tmp_path / "qdrant", anchor_vectors=True)
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 4)], 3)
        found = anchor_in(index).vectors
    assert found.keys() == {"vision", "audio"}
    mean = np.mean([unit("a.mp4", "g1", n) for n in range(4)], axis=0)
    assert np.allclose(found["vision"], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_collection_that_does_not_fit_is_refused(index: VectorIndex) -> None:
    index.ensure_collection(SPACES)
    with pytest.raises(IndexMismatch, match=r"'vision' has 8 dimensions, and big gives 1024"):
        index.ensure_collection([replace(SPACES[0], dimension=1024, encoder="big")])
    with pytest.raises(IndexMismatch, match="'depth' has no such vector"):
        index.ensure_collection([replace(SPACES[0], vector_name="depth")])


@pytest.mark.usefixtures("index")
def test_one_opener_at_a_time(index_settings: IndexSettings) -> None:
    with (
        pytest.raises(IndexUnavailable, match="open in another process"),
        open_index(index_settings),
    ):
        pass


@pytest.mark.parametrize("grpc", [True, False])
def test_a_server_out_of_reach_is_named_without_its_key(grpc: bool) -> None:
    settings = IndexSettings(
        url="http://127.0.0.1:9",
        api_key=SecretStr("s3cret"),
        prefer_grpc=grpc,
        timeout_s=2,
    )
    with pytest.raises(IndexUnavailable) as raised, open_index(settings):
        pass
    assert "http://127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_load_keeps_its_pace_on_a_server(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep, perf_counter=time.perf_counter)
    monkeypatch.setattr(upserts, "time", clock)
    settings = served.settings.model_copy(update={"upsert_points": 5})
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 30)], 1, batch_rows=10)
        assert slept == []
    with open_index(settings.model_copy(update={"points_per_s": 10.0})) as index:
        load(index, tmp_path, [("a.mp4", "g2", 30)], 2, batch_rows=10)
        assert live(index) == {"a.mp4": whole("g2", 30)}
    assert slept == pytest.approx([0.0, *[0.5] * 5])
