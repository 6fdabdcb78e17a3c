"""Loads as tasks of Ray's: elsewhere, under the lease of their run, harmless when they are lost.
Whole runs on three nodes: `tests/integration/test_cluster.py`."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import CredentialsMissing, IndexUnavailable
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import ShardReceipt
from pipeline.run.shard_load import LoadDone, ShardLoad, load_as_task
from pipeline.run.step_runner import LOAD, plain_runner
from pipeline.settings import IndexSettings, Settings, StateSettings
from pipeline.state.lease import LeaseLost, acquire, release
from pipeline.state.receipts import RunFolder, commit_receipt, put_shard_data, read_loads
from pipeline.state.segments import write_segments
from pipeline.state.store import FolderStore
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, live, load, outcome, rows_of, upsert, whole

A, B = ("a.mp4", "g1", 3), ("b.mp4", "g1", 2)


def own_process(_: object) -> int:
    return os.getpid()


def refuses(kind: str) -> int:
    if kind == "lease":
        raise LeaseLost("Lost.", remedy="Run again.")
    if kind == "index":
        raise IndexUnavailable("Away.")
    raise CredentialsMissing("This node has none.")


def dies_once(marker: Path) -> int:
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return os.getpid()


def sleeps(marker: Path) -> None:
    marker.touch()
    time.sleep(600)


@pytest.mark.usefixtures("ray_running")
def test_a_call_is_done_elsewhere_and_what_it_raises_comes_as_it_is() -> None:
    from pipeline.embed.cluster_calls import cluster_calls

    here: list[int] = []

    def in_this_process() -> int:
        here.append(os.getpid())
        return os.getpid()

    with cluster_calls(2) as calls:
        assert calls.call(own_process, 1, in_this_process) != os.getpid()
        with pytest.raises(LeaseLost) as lost:
            calls.call(refuses, "lease", in_this_process)
        assert (lost.value.code, lost.value.remedy) == ("lease_lost", "Run again.")
        with pytest.raises(IndexUnavailable, match="Away"):
            calls.call(refuses, "index", in_this_process)
        assert here == []
        # A person has to do something about that node: here it may be different.
        assert calls.call(refuses, "credentials", in_this_process) == os.getpid()
    assert here == [os.getpid()]


@pytest.mark.usefixtures("ray_running")
def test_a_call_that_is_lost_is_tried_again_by_the_step(tmp_path: Path) -> None:
    from pipeline.embed.cluster_calls import cluster_calls

    said: list[str] = []
    with cluster_calls(2) as calls, plain_runner(said.append, wait=lambda _: None) as steps:
        marker = tmp_path / "died"
        done = steps.call(LOAD, lambda: calls.call(dies_once, marker, lambda: 0))
    assert done not in (0, os.getpid())
    assert len(said) == 1
    assert "was lost in the middle of a call" in said[0]


@pytest.mark.usefixtures("ray_running")
def test_at_the_end_nothing_is_waited_for(tmp_path: Path) -> None:
    from pipeline.embed.cluster_calls import CallsEnded, cluster_calls

    marker = tmp_path / "begun"
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            calls.call(sleeps, marker, lambda: None)
        except CallsEnded as error:
            raised.append(error)

    with cluster_calls(1) as calls:
        thread = threading.Thread(target=wait)
        thread.start()
        while not marker.exists():
            time.sleep(0.05)
    thread.join(60)
    assert len(raised) == 1
    with pytest.raises(CallsEnded):
        calls.call(own_process, 1, os.getpid)


def committed(folder: Path, index: IndexSettings, expires_in_s: float = 600.0) -> ShardLoad:
    """A shard of two assets as a run leaves it, and its load as the run asks for it."""
    settings = Settings(index=index, state=StateSettings(location=str(folder / "state")))
    store = FolderStore(folder / "state")
    lease = acquire(store, "run", expires_in_s)
    run = RunFolder(lease.sequence, lease.run_id)
    path = folder / "shard.parquet"
    digest = write_segments(path, [row for asset in (A, B) for row in rows_of(*asset)], SPACES)
    name = put_shard_data(store, run, 0, path)
    done = (outcome(*A), outcome(*B))
    receipt = ShardReceipt(run.run_id, run.sequence, 0, name, digest, 5, done)
    return ShardLoad(settings, run, commit_receipt(store, receipt), done, lease)


@pytest.mark.usefixtures("ray_running")
@pytest.mark.server
def test_a_shard_is_loaded_by_a_task_once_and_again(served: Served, tmp_path: Path) -> None:
    from pipeline.embed.cluster_calls import cluster_calls

    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        asked = committed(tmp_path, served.settings)

        def never() -> LoadDone:
            raise AssertionError("it is to be done by a task")

        with cluster_calls(1) as calls:
            first, again = (calls.call(load_as_task, asked, never) for _ in range(2))
        assert (first.receipt.points, first.receipt.assets) == (5, 2)
        assert (again.receipt.points, again.receipt.assets) == (5, 2)
        assert live(index) == {A[0]: whole("g1", 3), B[0]: whole("g1", 2)}
        assert index.count(live_only=False) == index.count() == 5
    loads = read_loads(FolderStore(tmp_path / "state"), asked.run)
    assert loads.keys() == {0}
    assert not loads[0]["process"].endswith(f":{os.getpid()}")


@only_stand_ins
def test_without_the_lease_nothing_is_written(served: Served, tmp_path: Path) -> None:
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        asked = committed(tmp_path, served.settings)
        store = FolderStore(tmp_path / "state")
        release(store, asked.lease)
        with pytest.raises(LeaseLost, match="run out"):
            load_as_task(asked)
        acquire(store, "another", 60)
        with pytest.raises(LeaseLost, match="to run another"):
            load_as_task(asked)
        assert index.count(live_only=False) == 0
    assert read_loads(store, asked.run) == {}


@only_stand_ins
def test_a_lease_that_is_lost_on_the_way_stops_the_task(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its last upsert and the flip: it is known without asking, once the end has passed."""
    counted = VectorIndex.count_points

    def slow(index: VectorIndex, ids: list[str]) -> int:
        found = counted(index, ids)
        time.sleep(max(0.0, asked.lease.expires_at - time.time()) + 0.1)
        return found

    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        asked = committed(tmp_path, served.settings, expires_in_s=1.5)
        monkeypatch.setattr(VectorIndex, "count_points", slow)
        with pytest.raises(LeaseLost):
            load_as_task(asked)
        assert index.count() == 0


def test_a_load_given_up_for_lost_hides_nothing_when_it_goes_on(
    served: Served, tmp_path: Path
) -> None:
    """Its node was out of reach, and another load of the same run took its place and flipped."""
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [A], 4)
        upsert(index, tmp_path, rows_of(*A), {"sequence": 4, "run_id": "run-4"})
        assert live(index) == {A[0]: whole("g1", 3)}
        # A run that comes later does write anew what an earlier one has shown.
        upsert(index, tmp_path, rows_of(*A), {"sequence": 5, "run_id": "run-5"})
        assert live(index) == {}
