"""A run that was thought dead and wakes up changes nothing; one that is killed in the middle of a
change leaves nothing half."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable
from pipeline.ids import asset_id
from pipeline.index.embedded import JOURNAL
from pipeline.index.load import load_shard
from pipeline.index.types import Anchor
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings import StateSettings
from pipeline.settings_index import IndexSettings
from pipeline.state.lease import LEASE, LeaseLost, acquire, hold_lease, lease_bytes
from pipeline.state.segments import read_segments, write_segments
from pipeline.state.store import FolderStore
from tests.chaos.edge_engine import EdgeEngine
from tests.support.invented_assets import (
    SPACES,
    live,
    load,
    outcome,
    rows_of,
    shown,
    unit,
    upsert,
    whole,
)
from tests.support.qdrant_server import StandIn, qdrant_server

NAME = IndexSettings().collection
A = asset_id("media", "a.mp4")
OLD = ("a.mp4", "g1", 2)
NEW = ("a.mp4", "g2", 3)


def anchor_of(key: str, generation: str, segments: int, sequence: int) -> Anchor:
    points = tuple(row.point_id for row in rows_of(key, generation, segments))
    payload = {"kind": "asset", "asset_id": A, "generation": generation, "sequence": sequence}
    return Anchor(A, generation, points, {"vision": unit("mean")}, payload)


@pytest.fixture(params=["local", pytest.param("edge", marks=pytest.mark.server)])
def any_index(
    request: pytest.FixtureRequest,
    index_settings: IndexSettings,
    tmp_path: Path,
) -> Iterator[VectorIndex]:
    """The client's own engine, and the real one behind the stand-in server."""
    with ExitStack() as stack:
        if request.param == "edge":
            engine: Any = EdgeEngine(tmp_path / "edge")
            server = stack.enter_context(qdrant_server(StandIn(engine=engine)))
            index_settings = IndexSettings(url=server.url, prefer_grpc=False)
        opened = stack.enter_context(open_index(index_settings))
        opened.ensure_collection(SPACES)
        yield opened


@pytest.mark.parametrize(
    "act",
    [
        lambda late: late.flip([anchor_of(*OLD, 4)], 4),
        lambda late: late.remove([A], 4),
    ],
    ids=["flip", "removal"],
)
def test_a_late_change_leaves_what_a_later_run_wrote(
    any_index: VectorIndex, tmp_path: Path, act: Callable[[VectorIndex], None]
) -> None:
    load(any_index, tmp_path, [OLD], 4)
    load(any_index, tmp_path, [NEW], 5)
    # The flip's own segments were swept: the engine may say so, but must have changed nothing.
    with suppress(KeyError, IndexUnavailable):
        act(any_index)
    assert (any_index.count(), any_index.count(live_only=False)) == (3, 3)
    assert any_index.flipped([A]) == {A: (5, "g2")}
    points = any_index.points().fetch([row.point_id for row in rows_of(*NEW)], ["live"])
    assert [point.payload for point in points.values()] == [{"live": True}] * 3


@pytest.mark.server
def test_a_point_that_goes_before_the_flip_is_written_again(tmp_path: Path) -> None:
    """By another writer's hand, or by a server's that was killed: a try more makes it whole."""
    engine: Any = EdgeEngine(tmp_path / "edge")
    with (
        qdrant_server(StandIn(engine=engine)) as server,
        open_index(IndexSettings(url=server.url, prefer_grpc=False)) as index,
    ):
        index.ensure_collection(SPACES)
        counted = index.count_points

        def lost_once_counted(point_ids: Sequence[str]) -> int:
            there = counted(point_ids)
            engine.delete(NAME, q.PointIdsList(points=[point_ids[0]]))
            return there

        index.count_points = lost_once_counted  # type: ignore[method-assign]
        with pytest.raises(IndexUnavailable, match="a moment ago") as raised:
            load(index, tmp_path, [NEW], 4)
        assert (raised.value.code, raised.value.retryable) == ("point_gone", True)
        index.count_points = counted  # type: ignore[method-assign]
        load(index, tmp_path, [NEW], 4)
        assert (index.count(), index.count(live_only=False)) == (3, 3)


@pytest.mark.server
@pytest.mark.parametrize("moment", ["upserting", "flipped"])
def test_a_later_flip_in_the_middle_of_a_load_wins(tmp_path: Path, moment: str) -> None:
    """As by an event run beside a whole run, which both hold their leases: before the segments of
    the earlier one are written, or between them and its flip."""
    with (
        qdrant_server(StandIn(engine=EdgeEngine(tmp_path / "edge"))) as server,  # type: ignore[arg-type]
        open_index(IndexSettings(url=server.url, prefer_grpc=False)) as index,
    ):
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g0", 1)], 3)
        real = getattr(index, moment)
        (tmp_path / "later").mkdir()
        calls: list[int] = []

        def in_between(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == (1 if moment == "upserting" else 2):
                load(index, tmp_path / "later", [NEW], 5)
            return real(*arguments)

        setattr(index, moment, in_between)
        load(index, tmp_path, [OLD], 4)
        assert (index.count(), index.count(live_only=False)) == (3, 3)
        assert index.flipped([A]) == {A: (5, "g2")}


def test_who_lost_the_lease_writes_no_more(
    index: VectorIndex,
    tmp_path: Path,
) -> None:
    load(index, tmp_path, [OLD], 1)
    write_segments(tmp_path / "late.parquet", rows_of(*NEW), SPACES)
    store = FolderStore(tmp_path / "state")
    with hold_lease(store, StateSettings(), "late", after_token=1) as lease:
        guarded = index.guarded(lease.in_time)
        # It slept, and its lease ran out meanwhile.
        lease._lease = replace(lease._lease, expires_at=1.0)
        found = store.read(LEASE)
        assert found is not None
        store.replace(LEASE, lease_bytes(lease._lease), found.version)
        acquire(store, "next", 60)
        late = read_segments(tmp_path / "late.parquet")
        with pytest.raises(LeaseLost, match="to run next") as raised:
            load_shard(guarded, late, [outcome(*NEW)], 2, "late")
        assert not raised.value.retryable
        with pytest.raises(LeaseLost):
            guarded.remove([A], 9)
        with pytest.raises(LeaseLost):
            guarded.points().delete([row.point_id for row in rows_of(*OLD)])
    assert live(index) == {"a.mp4": whole("g1", 2)}
    assert index.count(live_only=False) == 2


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


def dies_within(index: VectorIndex, steps: int) -> None:
    """The engine's next request does that many of its steps, and the process is gone."""
    client = index._connection.client
    real = client.batch_update_points

    def some(name: str, asked: Sequence[Any], **more: Any) -> Any:
        real(name, asked[:steps], **more)
        raise Killed

    client.batch_update_points = some  # type: ignore[method-assign]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_flip_that_is_killed_is_ended_by_who_opens_the_folder(
    index_settings: IndexSettings,
    tmp_path: Path,
    steps: int,
) -> None:
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        load(opened, tmp_path, [OLD], 1)
        dies_within(opened, steps)
        with pytest.raises(Killed):
            load(opened, tmp_path, [NEW], 2)
    assert (index_settings.path / JOURNAL).is_file()
    with open_index(index_settings) as reader:
        assert live(reader) == {"a.mp4": whole("g2", 3)}
        assert reader.flipped([A]) == {A: (2, "g2")}
    assert not (index_settings.path / JOURNAL).exists()


def test_a_load_done_again_goes_on_showing_what_its_killed_flip_did(
    index_settings: IndexSettings,
    tmp_path: Path,
) -> None:
    """A server that was killed within a flip has no journal: the new generation may be live while
    the anchor still names the old one, which is then what is shown."""
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        load(opened, tmp_path, [OLD], 1)
        dies_within(opened, 1)
        with pytest.raises(Killed):
            load(opened, tmp_path, [NEW, ("new.mp4", "g1", 2)], 2)
    for sequence in (2, 3):
        (index_settings.path / JOURNAL).unlink()
        with open_index(index_settings) as opened:
            assert opened.flipped([A]) == {A: (1, "g1")}
            assert shown(opened)["a.mp4"] == whole("g1", 2)
            dies_within(opened, 0)
            with pytest.raises(Killed):
                load(opened, tmp_path, [NEW, ("new.mp4", "g1", 2)], sequence)
            assert shown(opened)["a.mp4"] == whole("g1", 2)
    with open_index(index_settings) as reader:
        assert live(reader) == {"a.mp4": whole("g2", 3), "new.mp4": whole("g1", 2)}


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_a_server_killed_within_a_flip_shows_one_generation_whole_then_and_later(
    index_settings: IndexSettings,
    tmp_path: Path,
    steps: int,
) -> None:
    """Of an asset that is replaced and of one that is new; nothing that was seen goes away while
    the load is done again."""
    assets = [NEW, ("new.mp4", "g1", 2)]
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        load(opened, tmp_path, [OLD], 1)
        dies_within(opened, steps)
        with pytest.raises(Killed):
            load(opened, tmp_path, assets, 2)
    (index_settings.path / JOURNAL).unlink()
    with open_index(index_settings) as opened:
        before = shown(opened)
        assert before["a.mp4"] in (whole("g1", 2), whole("g2", 3))
        assert before.get("new.mp4", whole("g1", 2)) == whole("g1", 2)
        dies_within(opened, 0)  # in the flip of the next run's load
        with pytest.raises(Killed):
            load(opened, tmp_path, assets, 3)
        assert shown(opened) == before
        del opened._connection.client.batch_update_points
        load(opened, tmp_path, assets, 3)
        assert live(opened) == {"a.mp4": whole("g2", 3), "new.mp4": whole("g1", 2)}
        assert opened.count(live_only=False) == 5


def test_a_removal_that_is_killed_is_ended(
    index_settings: IndexSettings,
    tmp_path: Path,
) -> None:
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        load(opened, tmp_path, [OLD, ("b.mp4", "g1", 2)], 1)
        dies_within(opened, 0)
        with pytest.raises(Killed):
            opened.remove([A], 2)
    with open_index(index_settings) as reader:
        assert live(reader) == {"b.mp4": whole("g1", 2)}
        assert reader.count_assets() == 1


def test_a_note_of_points_that_are_gone_does_no_harm(
    index_settings: IndexSettings,
    tmp_path: Path,
) -> None:
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        load(opened, tmp_path, [OLD], 1)
        dies_within(opened, 0)
        with pytest.raises(Killed):
            opened.flip([anchor_of(*NEW, 2)], 2)
    with open_index(index_settings) as reader:
        assert live(reader) == {"a.mp4": whole("g1", 2)}
    assert not (index_settings.path / JOURNAL).exists()


def test_the_folder_keeps_a_write_ahead_log(
    index_settings: IndexSettings,
) -> None:
    """Each write of the engine is a commit: with a rollback journal it costs several flushes, and
    with this log none of its own. A release of the client that keeps its connections elsewhere
    must be noticed here."""
    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        engine: Any = opened._connection.client._client
        (collection,) = engine.collections.values()
        level = collection.storage.storage.execute("pragma synchronous").fetchone()
        assert level == (1,), "each write is flushed for itself"
    (file,) = index_settings.path.glob("collection/*/storage.sqlite")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)


def test_what_killed_runs_left_hidden_goes_in_one_sweep(
    index: VectorIndex,
    tmp_path: Path,
) -> None:
    load(index, tmp_path, [OLD], 1)
    for sequence, rows in ((2, rows_of("never-there.mp4", "g1", 2)), (9, rows_of(*NEW))):
        upsert(index, tmp_path, rows, {"sequence": sequence, "run_id": "killed"})
    both = [A, asset_id("media", "never-there.mp4")]
    index.sweep_leftovers(both, 3)
    # A later run's are its own affair.
    assert index.count(live_only=False) == 2 + 3
    index.sweep_leftovers(both[1:], 9)
    assert index.count(live_only=False) == 2 + 3
    index.sweep_leftovers(both, 9)
    assert index.count(live_only=False) == 2
    assert live(index) == {"a.mp4": whole("g1", 2)}
