"""An anchor that has lost a field is no end of a run: what is live stays, and the next load writes
the anchor anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models as q

from pipeline.ids import anchor_id, asset_id
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.gate import check_nothing_lost, made_by
from tests.support.index_damage import engine
from tests.support.invented_assets import live, load, whole

A, B = asset_id("media", "a.mp4"), asset_id("media", "b.mp4")
LOST = {
    "sequence": (0, "g1"),
    "generation": (1, ""),
    "sequence generation asset_id kind": (0, ""),
}


def lose(index: VectorIndex, fields: str, **others: Any) -> None:
    """From the anchor of `a.mp4`, which has other values of `others`."""
    [found] = engine(index).retrieve("media", [anchor_id(A)], with_payload=True, with_vectors=True)
    assert found.payload is not None
    kept = {name: value for name, value in found.payload.items() if name not in fields.split()}
    damaged = q.PointStruct(id=found.id, vector=found.vector or {}, payload=kept | others)
    engine(index).upsert("media", [damaged])


def is_mended(index: VectorIndex, folder: Path, fields: str) -> None:
    load(index, folder, [("a.mp4", "g1", 3), ("b.mp4", "g1", 1)], 1)
    lose(index, fields)
    assert index.flipped([A, B]) == {A: LOST[fields], B: (1, "g1")}
    assert index.generations([B]) == {B: "g1"}
    index.sweep_leftovers([A, B], 2)
    assert live(index) == {"a.mp4": whole("g1", 3), "b.mp4": whole("g1", 1)}
    load(index, folder, [("a.mp4", "g2", 2)], 3)
    assert index.flipped([A]) == {A: (3, "g2")}
    assert live(index) == {"a.mp4": whole("g2", 2), "b.mp4": whole("g1", 1)}
    assert (index.count(live_only=False), index.count_assets()) == (3, 2)


@pytest.mark.parametrize("fields", LOST)
def test_the_next_load_mends_it_in_a_folder(
    index: VectorIndex, tmp_path: Path, fields: str
) -> None:
    is_mended(index, tmp_path, fields)


@pytest.mark.parametrize("fields", LOST)
def test_the_next_load_mends_it_on_a_server(
    on_server: VectorIndex, tmp_path: Path, fields: str
) -> None:
    is_mended(on_server, tmp_path, fields)


def goes_when_it_is_removed(index: VectorIndex, folder: Path, fields: str) -> None:
    load(index, folder, [("a.mp4", "g1", 3), ("b.mp4", "g1", 1)], 1)
    lose(index, fields)
    index.remove([A], 2)
    assert (index.count(live_only=False), index.count_assets()) == (1, 1)
    left = index.points().fetch([anchor_id(A), anchor_id(B)], ["kind"])
    assert set(left) == {anchor_id(B)}
    load(index, folder, [("b.mp4", "g2", 2)], 5)
    index.remove([B], 4)
    assert live(index) == {"b.mp4": whole("g2", 2)}, "a later run's stays"


@pytest.mark.parametrize("fields", LOST)
def test_it_goes_with_its_asset_in_a_folder(
    index: VectorIndex, tmp_path: Path, fields: str
) -> None:
    goes_when_it_is_removed(index, tmp_path, fields)


@pytest.mark.parametrize("fields", LOST)
def test_it_goes_with_its_asset_on_a_server(
    on_server: VectorIndex, tmp_path: Path, fields: str
) -> None:
    goes_when_it_is_removed(on_server, tmp_path, fields)


@pytest.mark.parametrize("lost", ["asset_id", "spaces", "encoder", "key", "asset_id key spaces"])
def test_who_reads_all_anchors_is_not_stopped_by_it(
    index: VectorIndex, tmp_path: Path, lost: str
) -> None:
    """The gate of a rebuild reads them; `sensedex verify` names what is wrong with it."""
    load(index, tmp_path, [("a.mp4", "g1", 3), ("b.mp4", "g1", 1)], 1)
    lose(index, lost)
    named = {payload["asset_id"] for page in index.anchors() for payload in page}
    assert named == ({B} if "asset_id" in lost.split() else {A, B})
    check_nothing_lost(index, index)
    if "asset_id" in lost.split():
        lose(index, "", asset_id="no id")
        assert {payload["asset_id"] for page in index.anchors() for payload in page} == {B}
    assert made_by(index) == ({"f"}, "test")
    load(index, tmp_path, [("a.mp4", "g2", 2)], 2)
    assert {payload["asset_id"] for page in index.anchors() for payload in page} == {A, B}


def test_what_is_loaded_again_stays_live_all_along(
    on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same generation, of which the anchor no longer says that it is the one that is live."""
    load(on_server, tmp_path, [("a.mp4", "g1", 5)], 1)
    lose(on_server, "generation")
    seen: list[int] = []
    put = Upserts.put

    def watched(upserts: Upserts, *given: Any) -> None:
        put(upserts, *given)
        upserts.wait()
        seen.append(on_server.count())

    monkeypatch.setattr(Upserts, "put", watched)
    load(on_server, tmp_path, [("a.mp4", "g1", 5)], 2)
    assert seen == [5, 5]
    assert on_server.flipped([A]) == {A: (2, "g1")}
