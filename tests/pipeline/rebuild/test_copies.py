"""What a rebuild copies: all that is live, whole, into a collection of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from qdrant_client import models as q

from pipeline import codec
from pipeline.errors import IndexMismatch, SettingsError, StateCorrupt
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.alias import next_name
from pipeline.rebuild.gate import GateRefused
from pipeline.rebuild.prepare import begin
from pipeline.rebuild.rebuild import RebuildResult, copy, rebuild
from pipeline.records import Status
from pipeline.settings import Settings
from tests.pipeline.rebuild.scene import (
    OPTIONS,
    assert_same,
    indexed,
    on_served,
    opened,
    points_of,
    settings_of,
)
from tests.support.alias_reader import ASSETS, expected
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import SPACES, live, unit, whole
from tests.support.small_runs import run_of


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
