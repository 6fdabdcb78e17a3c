"""A run that was thought dead and wakes up changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings import StateSettings
from pipeline.settings_index import IndexSettings
from pipeline.state.lease import LEASE, LeaseLost, acquire, hold_lease, lease_bytes
from pipeline.state.segments import read_segments, write_segments
from pipeline.state.store import FolderStore
from tests.chaos.edge_engine import EdgeEngine
from tests.support.invented_assets import SPACES, live, load, outcome, rows_of, whole
from tests.support.qdrant_server import StandIn, qdrant_server
from tests.support.two_generations import NEW, OLD, A, anchor_of

NAME = IndexSettings().collection


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
