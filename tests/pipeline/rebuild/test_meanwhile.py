"""Readers and runs beside a rebuild, and a rebuild that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import IndexUnavailable, LeaseHeld
from pipeline.index.vector_index import open_index
from pipeline.rebuild.alias import drop, old_collections, roll_back
from pipeline.rebuild.prepare import begin
from pipeline.rebuild.rebuild import copy, finish, rebuild
from pipeline.settings import Settings
from pipeline.state.lease import hold_lease
from pipeline.state.store import open_store
from tests.pipeline.rebuild.scene import (
    OPTIONS,
    assert_same,
    indexed,
    on_served,
    on_server,
    opened,
    points_of,
    settings_of,
)
from tests.support.alias_reader import ASSETS, expected, reads_of
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import SPACES, live, whole
from tests.support.python_path import python_path
from tests.support.qdrant_server import StandIn
from tests.support.small_runs import run_of


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
            env={**os.environ, "PYTHONPATH": python_path(root_dir)},
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
