"""Segments on their way to a server: packed as the client packs them, several requests at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models as q
from qdrant_client.conversions.conversion import RestToGrpc

from pipeline.errors import IndexUnavailable
from pipeline.index import upserts as module
from pipeline.index.packed_points import ENTRIES_KEPT, PointPacker, upsert_request
from pipeline.index.updates import unless_later_or_shown
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import load, rows_of, unit, upsert

UPSERT = ("PUT", "/collections/media/points")
PAYLOADS: list[dict[str, Any]] = [
    dict(rows_of("a.mp4", "g1", 1)[0].payload),
    {},
    {"a": None, "b": True, "c": 1, "d": 1.0, "e": "é", "f": -(2**40), "g": 2.5e-3, "h": ""},
    # Equal in Python, and not the same in JSON.
    {"a": 1, "b": 0, "c": False, "d": True},
    {"a": 1.0, "b": 0.0, "c": 0, "d": 1},
    {"list": [], "of": [1, "two", None, [3.5]], "in": {"deep": {"er": [{"x": 1}]}, "none": {}}},
    {"text": "long " * 5_000},
]


@pytest.mark.parametrize("dimension", [1, 8, 33, 1024, 5_000])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_packed_point_is_what_the_client_makes_of_it(
    payload: dict[str, Any], dimension: int
) -> None:
    packer = PointPacker()
    for names in (("vision",), ("vision", "audio"), ("frozen_in_time_vision",), ()):
        vectors = {
            name: np.random.default_rng(n).normal(size=dimension).astype(np.float32)
            for n, name in enumerate(names)
        }
        point_id = rows_of("a.mp4", "g1", 1)[0].point_id
        wanted = RestToGrpc.convert_point_struct(
            q.PointStruct(
                id=point_id, vector={n: v.tolist() for n, v in vectors.items()}, payload=payload
            )
        )
        for _ in range(2):  # made, and remembered
            packed = packer.point(point_id, vectors, payload)
            assert packed == wanted
            assert packed.SerializeToString(deterministic=True) == wanted.SerializeToString(
                deterministic=True
            )


def test_rows_of_a_matrix_need_not_lie_in_a_row() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4).T
    packed = PointPacker().point(rows_of("a", "g", 1)[0].point_id, {"v": matrix[1]}, {})
    assert list(packed.vectors.vectors.vectors["v"].dense.data) == [1, 5, 9]


def test_what_is_remembered_is_bounded() -> None:
    packer = PointPacker()
    point_id = rows_of("a", "g", 1)[0].point_id
    for number in range(2 * ENTRIES_KEPT + 10):
        packer.point(point_id, {}, {"start_ms": number})
    assert len(packer._entries) <= ENTRIES_KEPT


def test_a_payload_is_json() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        PointPacker().point(rows_of("a", "g", 1)[0].point_id, {}, {"x": b"1"})


def test_the_condition_is_that_of_the_client() -> None:
    request = upsert_request("media", [], 7)
    assert request.update_filter == RestToGrpc.convert_filter(unless_later_or_shown(7))
    assert request.wait
    assert not request.HasField("ordering")
    for ordering in q.WriteOrdering:
        request = upsert_request("media", [], 7, ordering)
        assert request.ordering == RestToGrpc.convert_write_ordering(ordering)
    assert not upsert_request("media", [], None).HasField("update_filter")


@only_stand_ins
def test_requests_are_cut_by_points_and_by_bytes(
    served: Served, on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of("a.mp4", "g1", 300)
    upsert(on_server, tmp_path, rows, {"sequence": 1})
    assert served.server.requests.count(UPSERT) == 2 + 1, "128 points, of batches of 256"
    assert on_server.count(live_only=False) == 300
    served.server.requests.clear()
    monkeypatch.setattr(module, "BYTES_PER_REQUEST", 50 * 48)  # of 1.5 vectors of 8 numbers
    upsert(on_server, tmp_path, rows, {"sequence": 1})
    assert served.server.requests.count(UPSERT) == 6 + 1


@only_stand_ins
def test_several_requests_are_on_their_way_and_no_more(
    served: Served, on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits until two are there; a third would come in meanwhile, if it could."""
    both = threading.Barrier(2, timeout=30)
    at_once: list[int] = []
    inside = 0
    write = Upserts._by_grpc if served.settings.prefer_grpc else Upserts._by_client

    def counted(*given: Any) -> None:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        both.wait()
        write(*given)
        both.wait()
        inside -= 1

    monkeypatch.setattr(Upserts, write.__name__, counted)
    upsert(on_server, tmp_path, rows_of("a.mp4", "g1", 128 * 4), {"sequence": 1})
    assert on_server.count(live_only=False) == 512
    assert max(at_once) == 2


def test_what_failed_on_its_way_fails_the_load_and_shows_nothing(
    on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    writes = {name: getattr(Upserts, name) for name in ("_by_grpc", "_by_client")}

    def failing(name: str) -> Any:
        def write(*given: Any) -> None:
            written.append(1)
            if len(written) == 2:
                raise IndexUnavailable("Gone for a moment.")
            writes[name](*given)

        return write

    for name in writes:
        monkeypatch.setattr(Upserts, name, failing(name))
    with pytest.raises(IndexUnavailable, match="for a moment"):
        load(on_server, tmp_path, [("a.mp4", "g1", 600)], 1, batch_rows=128)
    assert on_server.count() == 0
    assert load(on_server, tmp_path, [("a.mp4", "g1", 600)], 1, batch_rows=128).points == 600
    assert on_server.count() == 600
    [hit] = on_server.query("vision", unit("a.mp4", "g1", 599), 1)
    assert hit.payload["segment_index"] == 599
