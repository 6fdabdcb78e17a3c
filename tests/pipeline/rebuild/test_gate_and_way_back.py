"""What may be shown, and how to go back to what was shown before."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.index.types import Anchor
from pipeline.rebuild.alias import drop, old_collections, roll_back
from pipeline.rebuild.gate import GateRefused, Recall, measure_recall
from pipeline.rebuild.prepare import begin
from pipeline.rebuild.rebuild import copy, rebuild
from pipeline.rebuild.record import Phase, keep_record, read_records
from pipeline.settings import Settings
from pipeline.state.store import open_store
from tests.pipeline.rebuild.scene import (
    OPTIONS,
    assert_same,
    indexed,
    on_server,
    opened,
    points_of,
    settings_of,
)
from tests.support.alias_reader import ASSETS, expected
from tests.support.invented_assets import SPACES, live, rows_of, unit, upsert
from tests.support.qdrant_server import StandIn
from tests.support.small_runs import run_of


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
