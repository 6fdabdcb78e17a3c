"""A run that is killed in the middle of a change leaves nothing half."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.ids import asset_id
from pipeline.index.embedded import JOURNAL
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings_index import IndexSettings
from tests.support.invented_assets import SPACES, live, load, rows_of, shown, upsert, whole
from tests.support.two_generations import NEW, OLD, A, Killed, anchor_of, dies_within


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
