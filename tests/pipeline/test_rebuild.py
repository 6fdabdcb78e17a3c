"""Rebuilds: in Qdrant's local mode, and over HTTP against a stand-in for a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models as q

from encoders.modality import Modality
from pipeline import codec
from pipeline.errors import IndexMismatch, IndexUnavailable, LeaseHeld, SettingsError, StateCorrupt
from pipeline.index.collections import Collections, open_collections
from pipeline.index.types import Anchor
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.rebuild.alias import drop, next_name, old_collections, roll_back
from pipeline.rebuild.gate import GateRefused, Recall, measure_recall
from pipeline.rebuild.prepare import RebuildOptions, begin
from pipeline.rebuild.rebuild import RebuildResult, copy, finish, rebuild
from pipeline.rebuild.record import Phase, keep_record, read_records
from pipeline.records import Status, VectorSpace
from pipeline.settings import Settings
from pipeline.state.lease import hold_lease
from pipeline.state.store import open_store
from tests.support.alias_reader import ASSETS, expected, reads_of
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import SPACES, live, rows_of, unit, upsert, whole
from tests.support.qdrant_server import StandIn, qdrant_server
from tests.support.run_settings import settings_for
from tests.support.small_runs import run_of

OPTIONS = RebuildOptions()
settings_of = partial(settings_for, index__timeout_s=30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with qdrant_server() as running:
        yield running


def on_server(server: StandIn, folder: Path, **more: Any) -> Settings:
    return settings_of(folder, index__url=server.url, index__prefer_grpc=False, **more)


def on_served(served: Served, folder: Path, **more: Any) -> Settings:
    """The stand-in by both ways, and a real server where one is named."""
    there = served.settings.model_dump(exclude_defaults=True)
    return settings_of(folder, **{f"index__{n}": v for n, v in there.items()}, **more)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Collections, VectorIndex]]:
    """What there is, and the index that readers and runs use: by the alias."""
    with open_collections(settings.index) as collections:
        index = VectorIndex(collections.connection, settings.index)
        yield collections, index


def indexed(settings: Settings, index: VectorIndex, **more: Any) -> None:
    """The first run."""
    index.ensure_collection(more.get("spaces", SPACES))
    run_of(settings, index, ASSETS, **more)


def points_of(collections: Collections, name: str) -> dict[str, tuple[Any, Any]]:
    """Every point, anchors too: payload and vectors."""
    with collections.connection.call("reading") as client:
        found, _ = client.scroll(name, limit=10_000, with_vectors=True)
    return {str(point.id): (point.payload, point.vector) for point in found}


def assert_same(some: dict[str, tuple[Any, Any]], others: dict[str, tuple[Any, Any]]) -> None:
    """Point for point: payload as it is, vectors but for the last bits."""
    assert some.keys() == others.keys()
    for point, (payload, vectors) in some.items():
        assert payload == others[point][0]
        assert vectors.keys() == others[point][1].keys()
        for name, vector in vectors.items():
            np.testing.assert_allclose(vector, others[point][1][name], atol=1e-5)


def test_a_rebuilt_collection_is_the_same_but_of_another_kind(settings: Settings) -> None:
    with opened(settings) as (collections, index):
        indexed(settings, index)
        before = points_of(collections, "media-1")
        done = rebuild(settings, OPTIONS, collections)
        assert (done.shows, done.previous, done.assets) == ("media-2", "media-1", 10)
        assert done.segments == done.points_loaded == sum(n for _, n in ASSETS.values())
        assert {r.vector_name: r.share for r in done.recalls} == {"vision": 1.0, "audio": 1.0}
        assert_same(points_of(collections, "media-2"), before)
        assert_same(points_of(collections, "media-1"), before)
        assert live(index) == expected(ASSETS)
    other = settings_of(
        settings.index.path.parent, index__distance="dot", index__payload_exclude=("fps", "text")
    )
    with opened(other) as (collections, index):
        rebuild(other, OPTIONS, collections)
        assert collections.behind("media") == "media-3"
        assert collections.vectors_of("media")["vision"].distance is q.Distance.DOT
        [first, *_] = index.query("vision", unit("any"), 1)
        assert "fps" not in first.payload
        assert "text" not in first.payload
        assert first.payload["key"] in ASSETS
        # A run goes on writing to it, and keeps to what is left out.
        index.ensure_collection(SPACES)
        run_of(other, index, {"new.mp4": ("g1", 1)})
        assert live(index) == expected({**ASSETS, "new.mp4": ("g1", 1)})
        fields = {f for payload, _ in points_of(collections, "media").values() for f in payload}
        assert not fields & {"fps", "text"}


def test_only_what_is_live_comes_over(settings: Settings) -> None:
    """What failed keeps the generation before; what was rejected, or left and came back, has none;
    a killed run's data is the next run's affair."""
    with opened(settings) as (collections, index):
        indexed(settings, index)
        run_of(settings, index, {"00.mp4": ("g2", 4)}, gone=["05.mp4", "06.mp4"])
        trouble = {
            "00.mp4": Status.FAILED,
            "01.mp4": Status.DENIED,
            "02.mp4": Status.REJECTED,
            "05.mp4": Status.FAILED,
        }
        run_of(settings, index, {"03.mp4": ("g3", 2)}, bad_ones=trouble)
        now = {**ASSETS, "00.mp4": ("g2", 4), "03.mp4": ("g3", 2)}
        for key in ("02.mp4", "05.mp4", "06.mp4"):
            del now[key]
        assert live(index) == expected(now)
        rebuild(settings, OPTIONS, collections)
        assert collections.behind("media") == "media-2"
        assert live(index) == expected(now)
        assert_same(points_of(collections, "media-2"), points_of(collections, "media-1"))

        run_of(settings, index, {"late.mp4": ("g1", 1)}, committed=False)
        with pytest.raises(GateRefused, match=r"1 assets .* 'late.mp4'") as refused:
            rebuild(settings, OPTIONS, collections)
        assert "`sensedex run`" in refused.value.remedy
        run_of(settings, index, {"late.mp4": ("g1", 1)})
        assert rebuild(settings, OPTIONS, collections).went_on
        assert live(index) == expected({**now, "late.mp4": ("g1", 1)})


@pytest.mark.slow("reads all along five rebuilds, 20 s")
def test_readers_of_the_alias_see_no_gap(settings: Settings) -> None:
    """In local mode, over rebuilds, rollbacks and deletions again and again. `make bench` does the
    same for 10,000 reads."""
    seen: list[int] = []
    errors: list[str] = []
    end = threading.Event()
    without = settings_of(settings.index.path.parent, index__payload_exclude=("fps",))
    with opened(settings) as (collections, index):
        indexed(settings, index)
        reader = threading.Thread(target=reads_of, args=(index, seen, errors, end))
        reader.start()
        flips = 0
        try:
            while len(seen) < 2_000 or flips < 10:
                rebuild(without, OPTIONS, collections)
                roll_back(without, collections)
                flips += 2
                drop(without, collections, old_collections(without, collections))
        finally:
            end.set()
            reader.join()
    assert errors == []
    assert set(seen) == {True, False}, "the reader saw only one of the collections"


def test_on_a_server_runs_go_on_meanwhile(server: StandIn, tmp_path: Path) -> None:
    """Readers in clients of their own; a run commits while the copy goes on, and is brought over;
    a run that would begin at the very end is told to wait."""
    settings = on_server(server, tmp_path)
    wanted = on_server(server, tmp_path, index__quantization="int8", index__shards=3)
    refused: list[str] = []

    def at_the_end(phase: str) -> None:
        if phase == "measuring recall":
            with pytest.raises(LeaseHeld, match="rebuild-media-2") as held_by:
                run_of(settings, None, {"x": ("g1", 1)})
            refused.append(str(held_by.value))

    with opened(settings) as (_, index), opened(wanted) as (collections, _):
        indexed(settings, index)
        work = begin(wanted, OPTIONS, collections, lambda now: at_the_end(now.phase))
        server.busy = 2
        copy(work)
        assert server.busy == 0, "the graph was not waited for"
        assert live(index) == expected(ASSETS)
        assert collections.behind("media") == "media-1"
        assert "quantization_config" not in server.created["media-1"]
        made = server.created["media-2"]
        assert made["hnsw_config"] == {"m": 0}, "the graph was on while it was filled"
        assert made["quantization_config"]["scalar"]["type"] == "int8"
        assert made["shard_number"] == 3
        assert server.changed["media-2"] == [{"hnsw_config": {"m": 16, "ef_construct": 100}}]
        run_of(settings, index, {"00.mp4": ("g2", 2), "n": ("g1", 1)}, gone=["09.mp4"])
        recalls, previous = finish(work)
        now = {**ASSETS, "00.mp4": ("g2", 2), "n": ("g1", 1)}
        del now["09.mp4"]
        assert previous == "media-1"
        assert recalls
        assert all(recall.share == 1.0 for recall in recalls)
        assert len(refused) == 1
        assert live(index) == expected(now)
        assert_same(points_of(collections, "media-2"), points_of(collections, "media-1"))
        # The next run writes to what the alias shows now.
        run_of(settings, index, {"00.mp4": ("g4", 1)})
        assert live(index)["00.mp4"] == whole("g4", 1)


@pytest.mark.timeout(600)
def test_readers_on_a_server_see_no_gap(served: Served, tmp_path: Path) -> None:
    settings = on_served(served, tmp_path)
    without = on_served(served, tmp_path, index__payload_exclude=("fps",))
    seen: list[int] = []
    errors: list[str] = []
    end = threading.Event()
    with opened(without) as (collections, _), opened(settings) as (_, index):
        indexed(settings, index)
        reader = threading.Thread(target=reads_of, args=(index, seen, errors, end))
        reader.start()
        try:
            while len(seen) < 500 or len(set(seen)) < 2:
                rebuild(without, OPTIONS, collections)
                roll_back(without, collections)
        finally:
            end.set()
            reader.join()
    assert errors == []
    assert set(seen) == {True, False}


@pytest.mark.timeout(600)
def test_a_run_at_work_is_waited_for(served: Served, tmp_path: Path) -> None:
    settings = on_served(served, tmp_path)
    store = open_store(settings.state.location, settings.source)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        with hold_lease(store, settings.state, "long-run", after_token=1):
            with pytest.raises(LeaseHeld, match="long-run") as raised:
                rebuild(settings, OPTIONS, collections)
            assert "--wait" in raised.value.remedy
            assert collections.behind("media") == "media-1"
        done = rebuild(settings, OPTIONS, collections)
        assert (done.went_on, done.points_loaded, done.shows) == (True, 0, "media-2")

        leave = threading.Event()

        def run_a_while() -> None:
            with hold_lease(store, settings.state, "another", after_token=1):
                leave.wait(60)

        other = threading.Thread(target=run_a_while)
        other.start()

        def ends_when_waited_for(phase: str) -> None:
            if phase == "waiting for a run to end":
                leave.set()

        waiting = replace(OPTIONS, wait_s=60.0)
        done = rebuild(settings, waiting, collections, lambda now: ends_when_waited_for(now.phase))
        other.join()
        assert leave.is_set()
        assert done.shows == "media-3"


def test_in_local_mode_a_run_is_told_that_the_folder_is_open(settings: Settings) -> None:
    with opened(settings) as (_, index):
        indexed(settings, index)
        with (
            pytest.raises(IndexUnavailable, match="open in another process"),
            open_index(settings.index),
        ):
            pass


def test_killed_it_goes_on(server: StandIn, tmp_path: Path, root_dir: Path) -> None:
    """`kill -9` while files are copied; what has a receipt is not loaded again."""
    settings = on_server(server, tmp_path)
    many = {f"{n:03d}.mp4": ("g1", 3) for n in range(120)}
    with opened(settings) as (collections, index):
        index.ensure_collection(SPACES)
        run_of(settings, index, many)
        receipts = tmp_path / "state/rebuilds/000001-media-2/files"
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "flows.cli.main", "rebuild", "--url", server.url),
                *("--state", str(tmp_path / "state"), "--set", "index.prefer_grpc=false"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root_dir)},
        )
        wait_for(lambda: receipts.is_dir() and len(list(receipts.iterdir())) >= 5)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept = len(list(receipts.iterdir()))
        assert 5 <= kept < 30, "it was not killed in the middle"
        assert collections.behind("media") == "media-1"
        done = rebuild(settings, OPTIONS, collections)
        assert (done.went_on, done.shows, done.segments) == (True, "media-2", 360)
        # Of the file that was being copied, what is shown already is not loaded again either.
        assert 360 - (kept + 1) * 12 <= done.points_loaded <= 360 - kept * 12
        assert_same(points_of(collections, "media-2"), points_of(collections, "media-1"))
        assert live(index) == expected(many)


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_gate_refuses_a_bad_search_and_lets_a_better_one_pass(
    server: StandIn, tmp_path: Path
) -> None:
    settings = on_server(server, tmp_path)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        server.blunt = 5
        with pytest.raises(GateRefused, match=r"recall@10 of '\w+' is 0.8") as refused:
            rebuild(settings, OPTIONS, collections)
        assert not refused.value.retryable
        assert "index.hnsw_ef" in refused.value.remedy
        assert collections.behind("media") == "media-1"
        lax = rebuild(settings, replace(OPTIONS, min_recall=0.75), collections)
        assert (lax.went_on, lax.points_loaded, lax.shows) == (True, 0, "media-2")
        assert lax.recalls
        assert all(0.75 <= recall.share < 0.9 for recall in lax.recalls)
        store = open_store(settings.state.location, settings.source)
        [record] = read_records(store, "media", server.url)
        assert record.recall == min(recall.share for recall in lax.recalls)


def test_copies_of_one_thing_are_one_answer(server: StandIn, tmp_path: Path) -> None:
    """Silence after silence has one vector: a search that gives ten other ones is not bad."""
    settings = on_server(server, tmp_path)
    with opened(settings) as (_, index):
        index.ensure_collection(SPACES)
        row = rows_of("quiet.mp4", "g1", 1)[0]
        many = [replace(row, point_id=str(uuid.UUID(int=n))) for n in range(200)]
        upsert(index, tmp_path, many, {})
        index.flip([Anchor(row.asset_id, "g1", tuple(r.point_id for r in many), {}, {})], 1)
        server.blunt = 2
        vectors = {"vision": np.stack([row.vectors["vision"]])}
        assert measure_recall(index, vectors) == (Recall("vision", 1, 1.0),)
        far = [replace(r, vectors={"vision": unit(n)}) for n, r in enumerate(many)]
        upsert(index, tmp_path, far, {})
        index.flip([Anchor(row.asset_id, "g1", tuple(r.point_id for r in many), {}, {})], 1)
        assert measure_recall(index, vectors) == (Recall("vision", 1, 0.5),)


def test_rollback_brings_the_old_collection_up_to_date(settings: Settings) -> None:
    with opened(settings) as (collections, index):
        indexed(settings, index)
        with pytest.raises(SettingsError, match="nothing to roll 'media' back to"):
            roll_back(settings, collections)
        rebuild(settings, OPTIONS, collections)
        back = roll_back(settings, collections)
        assert (back.shows, back.kept, back.points) == ("media-1", "media-2", 0)
        rebuild(settings, OPTIONS, collections)
        run_of(settings, index, {"00.mp4": ("g2", 3), "new": ("g1", 1)}, gone=["01.mp4"])
        now = {**ASSETS, "00.mp4": ("g2", 3), "new": ("g1", 1)}
        del now["01.mp4"]
        back = roll_back(settings, collections)
        assert (back.shows, back.kept, back.points) == ("media-1", "media-3", 4)
        assert live(index) == expected(now)
        assert_same(points_of(collections, "media-1"), points_of(collections, "media-3"))
        assert old_collections(settings, collections) == ["media-2", "media-3"]
        drop(settings, collections, ["media-1", "media-2", "media-3"])
        assert collections.names() == {"media-1"}, "what readers see was deleted"
        done = rebuild(settings, OPTIONS, collections)
        assert done.shows == "media-4", "a name was used twice"
        drop(settings, collections, ["media-1"])
        with pytest.raises(SettingsError, match="media-1 was deleted"):
            roll_back(settings, collections)


def test_killed_just_after_the_flip_it_knows_the_way_back(settings: Settings) -> None:
    store = open_store(settings.state.location, settings.source)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        rebuild(settings, OPTIONS, collections)
        [record] = read_records(store, "media", str(settings.index.path))
        keep_record(store, replace(record, phase=Phase.COPYING))
        assert old_collections(settings, collections) == ["media-1"]
        run_of(settings, index, {"new": ("g1", 1)})
        done = rebuild(settings, OPTIONS, collections)
        assert (done.shows, done.previous, done.points_loaded) == ("media-2", "media-1", 0)
        assert live(index) == expected({**ASSETS, "new": ("g1", 1)})
        back = roll_back(settings, collections)
        assert (back.shows, back.points) == ("media-1", 1)
        assert live(index) == expected({**ASSETS, "new": ("g1", 1)})


def test_a_stopped_rebuild_of_another_kind_is_not_mixed_up(settings: Settings) -> None:
    other = settings_of(settings.index.path.parent, index__distance="dot")
    with opened(settings) as (collections, index):
        indexed(settings, index)
        copy(begin(settings, OPTIONS, collections))
        with pytest.raises(SettingsError, match="distance is 'cosine' in it, not 'dot'"):
            rebuild(other, OPTIONS, collections)
        assert old_collections(settings, collections) == [], "what is being filled may not go"
    with opened(other) as (collections, index):
        done = rebuild(other, replace(OPTIONS, fresh=True), collections)
        assert (done.shows, done.went_on) == ("media-3", False)
        assert collections.names() == {"media-1", "media-3"}


def test_a_rebuild_that_an_older_version_began_goes_on(settings: Settings) -> None:
    """Its record names no setting that came since, and its collection is as that is by default."""
    store = open_store(settings.state.location, settings.source)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        copy(begin(settings, OPTIONS, collections))
        [record] = read_records(store, "media", str(settings.index.path))
        since = {"datatype", "on_disk_payload", "on_disk_payload_indexes", "write_consistency"}
        older = {name: value for name, value in record.shape.items() if name not in since}
        keep_record(store, replace(record, shape=older))
        other = settings_of(settings.index.path.parent, index__datatype="float16")
        with pytest.raises(SettingsError, match="datatype is 'float32' in it, not 'float16'"):
            rebuild(other, OPTIONS, collections)
        done = rebuild(settings, OPTIONS, collections)
        assert (done.shows, done.went_on, done.points_loaded) == ("media-2", True, 0)


def test_a_target_that_vanished_is_filled_again(settings: Settings) -> None:
    with opened(settings) as (collections, index):
        indexed(settings, index)
        copy(begin(settings, OPTIONS, collections))
        collections.drop("media-2")
        done = rebuild(settings, OPTIONS, collections)
        assert done.points_loaded == done.segments
        assert live(index) == expected(ASSETS)


def test_from_a_folder_to_a_server(served: Served, settings: Settings) -> None:
    """Nothing of the local collection is needed: it may even be open elsewhere meanwhile."""
    there = on_served(served, settings.index.path.parent)
    with opened(settings) as (local, index):
        indexed(settings, index)
        with opened(there) as (collections, moved):
            done = rebuild(there, OPTIONS, collections)
            assert (done.shows, done.previous) == ("media-2", None)
            assert live(moved) == live(index) == expected(ASSETS)
            assert_same(points_of(collections, "media"), points_of(local, "media"))
            moved.ensure_collection(SPACES)
            run_of(there, moved, {"00.mp4": ("g2", 1)})
            assert live(moved)["00.mp4"] == whole("g2", 1)


def other_spaces(prefix: str, encoder: str, dimension: int) -> tuple[VectorSpace, ...]:
    return tuple(
        VectorSpace(f"{prefix}{m}", m, dimension, encoder, f"of {encoder}")
        for m in (Modality.VISION, Modality.AUDIO)
    )


def test_to_another_encoder_beside_the_old_one(settings: Settings) -> None:
    """A state and a collection of their own are filled while the old ones serve; the alias flips
    when nothing that readers see is missing, and they go on asking the old vectors."""
    folder = settings.index.path.parent
    both = (*SPACES, *other_spaces("newer_", "newer", 4))
    more = {"state__location": str(folder / "state-next")}
    beside = settings_of(folder, **more, index__collection="media-next")
    flipping = settings_of(folder, **more)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        old = points_of(collections, "media")
        aside = VectorIndex(collections.connection, beside.index)
        aside.ensure_collection(both)
        most = {key: ("h1", n) for key, (_, n) in list(ASSETS.items())[:8]}
        run_of(beside, aside, most, spaces=both)
        assert_same(points_of(collections, "media"), old)
        with pytest.raises(GateRefused, match=r"2 assets .*'08.mp4', '09.mp4'"):
            rebuild(flipping, OPTIONS, collections)
        assert collections.behind("media") == "media-1"
        rest = {key: ("h1", n) for key, (_, n) in list(ASSETS.items())[8:]}
        run_of(beside, aside, rest, spaces=both)
        done = rebuild(flipping, OPTIONS, collections)
        assert (done.went_on, done.shows) == (True, "media-2")
        assert {r.vector_name for r in done.recalls} == {s.vector_name for s in both}
        assert live(index) == expected({**most, **rest})
        assert index.query("newer_vision", np.ones(4, np.float32) / 2, 3)
        back = roll_back(flipping, collections)
        assert not back.same_spaces
        assert_same(points_of(collections, "media"), old)


def test_an_encoder_that_takes_the_place_of_the_old_is_asked_for(settings: Settings) -> None:
    """Its vectors have the names of the old ones and mean something else: a reader would not see
    an error, only nonsense."""
    folder = settings.index.path.parent
    more = {"state__location": str(folder / "state-next")}
    aside = settings_of(folder, **more)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        alone = other_spaces("", "newer", 8)
        run_of(aside, None, {key: ("h1", n) for key, (_, n) in ASSETS.items()}, spaces=alone)
        with pytest.raises(GateRefused, match="vectors of the same encoder") as refused:
            rebuild(aside, OPTIONS, collections)
        assert "--new-vectors" in refused.value.remedy
        assert collections.names() == {"media-1"}, "it was found out too late"
        done = rebuild(aside, replace(OPTIONS, new_vectors=True), collections)
        assert done.shows == "media-2"
        assert not roll_back(aside, collections).same_spaces
        assert live(index) == expected(ASSETS)


def test_a_failed_object_of_another_encoder_is_left_out_and_named(settings: Settings) -> None:
    newer = tuple(replace(space, fingerprint="newer") for space in SPACES)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        good = {key: ("g2", n) for key, (_, n) in ASSETS.items() if key != "04.mp4"}
        run_of(settings, index, good, bad_ones={"04.mp4": Status.FAILED}, spaces=newer)
        with pytest.raises(GateRefused, match=r"1 assets .*'04.mp4'"):
            rebuild(settings, OPTIONS, collections)
        done = rebuild(settings, replace(OPTIONS, allow_missing=True), collections)
        assert (done.left_out, done.assets) == (1, 9)
        assert live(index) == expected(good)


def test_a_plain_collection_of_that_name_is_left_alone(settings: Settings) -> None:
    with opened(settings) as (collections, _):
        collections.create("media", SPACES)
        index = VectorIndex(collections.connection, settings.index)
        run_of(settings, index, ASSETS)
        with pytest.raises(IndexMismatch, match="'media' is a collection, not an alias"):
            rebuild(settings, OPTIONS, collections)
        assert live(index) == expected(ASSETS)


def test_a_damaged_file_is_named(settings: Settings, tmp_path: Path) -> None:
    with opened(settings) as (collections, index):
        indexed(settings, index)
        some = sorted((tmp_path / "state/runs").rglob("shards/*.parquet"))[0]
        data = some.read_bytes()
        some.write_bytes(data.replace(b"00.mp4", b"11.mp4") + b" ")
        with pytest.raises(StateCorrupt, match=some.name):
            rebuild(settings, OPTIONS, collections)
        some.unlink()
        with pytest.raises(StateCorrupt, match=some.name):
            rebuild(settings, OPTIONS, collections)
        some.write_bytes(data)
        assert rebuild(settings, OPTIONS, collections).went_on


def test_nothing_indexed_is_nothing_to_rebuild(settings: Settings) -> None:
    with opened(settings) as (collections, _), pytest.raises(SettingsError, match="sensedex run"):
        rebuild(settings, OPTIONS, collections)


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        (set(), "media-2"),
        ({"media-1", "media-x", "media-2-3", "media"}, "media-2"),
        ({"media-1", "media-9", "other-77"}, "media-10"),
    ],
)
def test_names_are_never_used_twice(taken: set[str], name: str) -> None:
    assert next_name("media", taken) == name


def test_what_is_told_fits_in_a_json_row(settings: Settings) -> None:
    with opened(settings) as (collections, index):
        indexed(settings, index)
        done: RebuildResult = rebuild(settings, OPTIONS, collections)
        assert codec.to_json(done)["recalls"][0]["vector_name"] == "vision"
        assert done.searched_exactly
