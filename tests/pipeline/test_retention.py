"""Sweeping the state: what is deleted, what is kept, and that nothing misses it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import LeaseHeld, StateCorrupt
from pipeline.index.collections import open_collections
from pipeline.index.vector_index import open_index
from pipeline.rebuild.prepare import RebuildOptions
from pipeline.rebuild.rebuild import rebuild
from pipeline.rebuild.retention import HOUR_S, MARKS, data_files, sweep_state
from pipeline.records import Status
from pipeline.settings import Settings
from pipeline.state.lease import hold_lease
from pipeline.state.receipts import RUNS
from pipeline.state.store import Store, open_store
from tests.support.invented_assets import SPACES
from tests.support.run_settings import small_run_settings
from tests.support.small_runs import run_of

DAY_S = 24 * HOUR_S


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_run_settings(tmp_path)


def store_of(settings: Settings) -> Store:
    return open_store(settings.state.location, settings.source)


def files_of(settings: Settings) -> set[str]:
    return set(data_files(store_of(settings).list(RUNS), 10**6))


def changed_twice(settings: Settings) -> None:
    """Four assets a file. The first file is replaced whole, the second all but one; an object of
    the third fails then, and keeps what it has."""
    first = {f"{number:02d}.mp4": ("g1", 2) for number in range(12)}
    second = {f"{number:02d}.mp4": ("g2", 2) for number in range(7)}
    with open_index(settings.index) as index:
        index.ensure_collection(SPACES)
        run_of(settings, index, first)
        run_of(settings, index, second)
        run_of(settings, index, {}, bad_ones={"08.mp4": Status.FAILED})


def test_what_nothing_refers_to_goes_a_day_after_it_was_found(settings: Settings) -> None:
    changed_twice(settings)
    before = files_of(settings)
    would = sweep_state(settings, dry_run=True, now_s=0.0)
    assert (would.deleted, would.waiting, would.marked, would.dry_run) == (0, 1, 1, True)
    assert store_of(settings).read(MARKS) is None

    found = sweep_state(settings, now_s=0.0)
    assert (found.needed, found.deleted, found.waiting, found.marked) == (4, 0, 1, 1)
    soon = sweep_state(settings, now_s=DAY_S - 1)
    assert (soon.deleted, soon.waiting, soon.marked) == (0, 1, 0)
    assert files_of(settings) == before
    later = sweep_state(settings, now_s=DAY_S)
    assert (later.deleted, later.waiting) == (1, 0)
    (gone,) = before - files_of(settings)
    assert "/00000001-run/shards/000000-" in gone, "the first file of the first run"
    assert sweep_state(settings, now_s=2 * DAY_S).deleted == 0


def test_a_rebuild_and_the_next_run_miss_nothing(settings: Settings) -> None:
    changed_twice(settings)
    sweep_state(settings, now_s=0.0)
    assert sweep_state(settings, now_s=DAY_S).deleted == 1
    with open_collections(settings.index) as collections:
        built = rebuild(settings, RebuildOptions(), collections, lambda _: None)
    assert built.assets == 12, "the one that failed has what it had"
    with open_index(settings.index) as index:
        state = run_of(settings, index, {"20.mp4": ("g1", 1)}, gone=["00.mp4"])
        assert index.count_assets() == 12
    assert state.totals["objects"] == 12


def test_what_a_stopped_run_has_committed_is_left(settings: Settings) -> None:
    with open_index(settings.index) as index:
        index.ensure_collection(SPACES)
        run_of(settings, index, {"a.mp4": ("g1", 1)})
        run_of(settings, index, {"b.mp4": ("g1", 1)}, committed=False)
    found = sweep_state(settings, now_s=0.0)
    assert (found.needed, found.waiting) == (1, 0)
    assert len(files_of(settings)) == 2


def test_what_event_runs_have_written_counts(settings: Settings) -> None:
    """The first file goes when the increments name the last of its objects; theirs stay."""
    with open_index(settings.index) as index:
        index.ensure_collection(SPACES)
        run_of(settings, index, {f"{name}.mp4": ("g1", 1) for name in "abcd"})
        changed = {f"{name}.mp4": ("g2", 1) for name in "abc"}
        run_of(settings, index, changed, bad_ones={"d.mp4": Status.FAILED}, beside=True)
    found = sweep_state(settings, now_s=0.0)
    assert (found.needed, found.waiting) == (2, 0), "d has what it had"
    with open_index(settings.index) as index:
        run_of(settings, index, {"d.mp4": ("g2", 1)}, beside=True)
    assert sweep_state(settings, now_s=0.0).marked == 1
    assert sweep_state(settings, now_s=DAY_S).deleted == 1
    assert len(files_of(settings)) == 2
    with open_collections(settings.index) as collections:
        assert rebuild(settings, RebuildOptions(), collections, lambda _: None).assets == 4


def test_a_run_at_work_is_not_disturbed(settings: Settings) -> None:
    changed_twice(settings)
    with (
        hold_lease(store_of(settings), settings.state, "at work"),
        pytest.raises(LeaseHeld, match="at work"),
    ):
        sweep_state(settings)


def test_marks_that_cannot_be_read_are_named(settings: Settings) -> None:
    changed_twice(settings)
    store_of(settings).create(MARKS, b"[1]")
    with pytest.raises(StateCorrupt, match=r"sweep\.json"):
        sweep_state(settings)
