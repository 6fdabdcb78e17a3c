"""Recall of an index as it is served: asked of a server, by REST and by gRPC, never of a folder."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qdrant_client import models as q

from pipeline.index import oversampling, recall
from pipeline.index.collections import open_collections
from pipeline.index.recall import Effort, measure_recall
from pipeline.index.types import Anchor
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.served_recall import IN_A_FOLDER, Looking
from pipeline.settings_index import IndexSettings
from tests.support import qdrant_points
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, load, rows_of, unit, upsert

EFFORT = Effort(10, 120.0)
FILMS = [("a.mp4", "g1", 20), ("b.mp4", "g1", 20)]


def filled(served: Served, folder: Path, **more: Any) -> IndexSettings:
    """A collection of 40 windows, 20 of them with sound; the newer film has one more generation,
    which no reader sees."""
    settings = served.settings.model_copy(update=more)
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, folder, FILMS, 1)
        upsert(index, folder, rows_of("b.mp4", "g2", 30), {})
    return settings


def test_an_index_that_finds_all_has_a_recall_of_one(served: Served, tmp_path: Path) -> None:
    settings = filled(served, tmp_path)
    found = measure_recall(settings, EFFORT, 7)
    assert found.unmeasured == ""
    assert {(v.vector_name, v.queries, v.share) for v in found.vectors} == {
        ("vision", 10, 1.0),
        ("audio", 10, 1.0),
    }
    assert (found.looking, found.server_ef) == (Looking(None, 1.0), 100)
    assert (found.quantization, found.proposal, found.seed) == ("none", None, 7)
    assert 0 < found.seconds < EFFORT.seconds


def test_fewer_segments_than_are_to_be_asked_with_are_asked_with_once(
    served: Served, tmp_path: Path
) -> None:
    found = measure_recall(filled(served, tmp_path), Effort(1000, 240.0), -7)
    assert {(v.vector_name, v.queries) for v in found.vectors} == {("vision", 40), ("audio", 20)}


@only_stand_ins
def test_the_smallest_setting_that_finds_enough_is_proposed(served: Served, tmp_path: Path) -> None:
    """The stand-in misses one answer in five; twice the ef, and it misses one in ten."""
    settings = filled(served, tmp_path)
    served.server.blunt = 5
    found = measure_recall(settings, EFFORT, 7)
    assert {v.vector_name: v.share for v in found.vectors} == {"vision": 0.8, "audio": 0.8}
    assert found.proposal is not None
    assert (found.proposal.reaches, found.proposal.smallest) == (True, True)
    assert found.proposal.looking == Looking(400, 1.0)
    assert found.proposal.shares == {"vision": 1.0, "audio": 1.0}
    followed = settings.model_copy(update={"hnsw_ef": 400})
    again = measure_recall(followed, EFFORT, 7)
    assert (again.looking, again.short, again.proposal) == (Looking(400, 1.0), (), None)


@only_stand_ins
@pytest.mark.parametrize(
    ("kind", "fitting", "cheapest"),
    [
        ("int8", 2.0, Looking(None, 8.0)),
        ("binary", 16.0, Looking(200, 32.0)),
        ("product", 8.0, Looking(200, 16.0)),
        ("turbo", 2.0, Looking(None, 8.0)),
    ],
)
def test_a_quantization_is_helped_by_oversampling(
    served: Served, tmp_path: Path, kind: str, fitting: float, cheapest: Looking
) -> None:
    """What the collection was made with counts, whatever the settings say of a new one."""
    settings = filled(served, tmp_path, quantization=kind)
    served.server.blunt = 5
    found = measure_recall(settings.model_copy(update={"quantization": "none"}), EFFORT, 7)
    assert (found.quantization, found.looking) == (kind, Looking(None, fitting))
    assert {v.share for v in found.vectors} == {0.8}
    assert found.proposal is not None
    assert found.proposal.looking == cheapest
    followed = settings.model_copy(update={"oversampling": 4 * fitting})
    assert not measure_recall(followed, EFFORT, 7).short


@only_stand_ins
def test_a_search_asks_for_as_many_candidates_as_the_collection_needs(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up once in a while, so that who stays open sees a rebuild's flip; what is set
    holds whatever the collection is."""
    settings = filled(served, tmp_path, quantization="binary")
    asked: list[float | None] = []

    def looked(_server: object, _name: str, params: q.SearchParams) -> int:
        asked.append(params.quantization.oversampling if params.quantization else None)
        return 0

    monkeypatch.setattr(qdrant_points, "_misses", looked)
    monkeypatch.setattr(oversampling, "LOOKED_AT_FOR_S", 0.0)
    unknown = settings.model_copy(update={"quantization": "none"})
    with open_index(unknown) as index, open_collections(served.settings) as collections:
        index.query("vision", unit("any"), 5)
        collections.create("media-2", SPACES)
        collections.show("media", "media-2")
        index.query("vision", unit("any"), 5)
    with open_index(settings.model_copy(update={"oversampling": 3.0})) as index:
        index.query("vision", unit("any"), 5)
    assert asked == [16.0, 1.0, 3.0]


@only_stand_ins
def test_that_nothing_reaches_it_is_said(served: Served, tmp_path: Path) -> None:
    settings = filled(served, tmp_path)
    served.server.blunt = 1
    found = measure_recall(settings, EFFORT, 7)
    assert {v.share for v in found.vectors} == {0.0}
    assert found.proposal is not None
    assert not found.proposal.reaches
    assert found.proposal.looking == Looking(800, 1.0)


@only_stand_ins
def test_other_copies_of_one_window_are_no_misses(served: Served, tmp_path: Path) -> None:
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        row = rows_of("quiet.mp4", "g1", 1)[0]
        many = [replace(row, point_id=str(uuid.UUID(int=n))) for n in range(100)]
        upsert(index, tmp_path, many, {})
        index.flip([Anchor(row.asset_id, "g1", tuple(r.point_id for r in many), {}, {})], 1)
    served.server.blunt = 2
    found = measure_recall(served.settings, EFFORT, 7)
    assert {v.share for v in found.vectors} == {1.0}


def test_a_seed_takes_the_same_sample_again_and_another_another(
    served: Served, tmp_path: Path
) -> None:
    settings = filled(served, tmp_path)
    with open_index(settings) as index:

        def sample(start: int) -> list[str]:
            points = index.points().live_vectors("vision", 12, str(uuid.UUID(int=start)))
            assert all(set(point.vectors) == {"vision"} for point in points)
            return [str(point.point_id) for point in points]

        there = {row.point_id for film in FILMS for row in rows_of(*film)}
        samples = [sample(number << 124) for number in range(16)]
        assert all(len(set(some)) == 12 for some in samples), "past the last id it begins anew"
        assert {point for some in samples for point in some} == there
        assert samples == [sample(number << 124) for number in range(16)]
        with_sound = index.points().live_vectors("audio", 99, str(uuid.UUID(int=0)))
        assert {str(point.point_id) for point in with_sound} == {
            row.point_id for film in FILMS for row in rows_of(*film) if "audio" in row.vectors
        }


def test_a_folder_is_exact_and_asked_nothing(tmp_path: Path) -> None:
    settings = IndexSettings(path=tmp_path / "qdrant")
    assert measure_recall(settings, EFFORT, 7).unmeasured == IN_A_FOLDER
    assert not settings.path.exists()


def test_an_empty_place_has_no_figure(served: Served) -> None:
    assert "no such collection" in measure_recall(served.settings, EFFORT, 7).unmeasured
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
    assert "no live segment" in measure_recall(served.settings, EFFORT, 7).unmeasured


def test_a_server_that_is_away_is_a_reason_and_no_error() -> None:
    settings = IndexSettings(url="http://127.0.0.1:9", prefer_grpc=False)
    found = measure_recall(settings, EFFORT, 7)
    assert (found.vectors, found.proposal) == ((), None)
    assert "127.0.0.1:9 cannot be reached" in found.unmeasured


@only_stand_ins
def test_a_server_that_is_slow_costs_no_more_than_its_time(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of the test's own, on which a query takes a tenth of a second."""
    settings = filled(served, tmp_path)
    query, now = VectorIndex.query, [0.0]

    def slow(*given: Any, **more: Any) -> Any:
        now[0] += 0.1
        return query(*given, **more)

    monkeypatch.setattr(VectorIndex, "query", slow)
    monkeypatch.setattr(recall, "time", SimpleNamespace(monotonic=lambda: now[0]))
    found = measure_recall(settings, Effort(1000, 0.5), 7)
    assert now[0] < 1
    assert "in 0.5 s the server answered only" in found.unmeasured
    # With more time there is a figure, of as many queries as there was time for.
    now[0] = 0
    served.server.blunt = 5
    found = measure_recall(settings, Effort(1000, 15.0), 7)
    assert all(10 <= vector.queries < 30 for vector in found.vectors)
    assert found.proposal is not None
    assert now[0] < 15.5


@only_stand_ins
def test_a_server_that_says_nothing_is_given_up(served: Served, tmp_path: Path) -> None:
    settings = filled(served, tmp_path)
    with served.server.lock:
        began = time.monotonic()
        found = measure_recall(settings, Effort(10, 1.0), 7)
        assert time.monotonic() - began < 10
    assert found.unmeasured != ""
