"""A load rests while somebody searches on a server of few cores; otherwise nothing holds it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.index import room_for_searches
from pipeline.index.room_for_searches import CORES_FOR_BOTH, ServerTelemetry, wants_room
from pipeline.index.vector_index import VectorIndex, open_index
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, live, load, unit, whole

# As Qdrant 1.19.0 tells it, of which the client's own model knows other fields.
TOLD = """{"id": "5166bdb1", "collections": {"number_of_collections": 1},
 "app": {"name": "qdrant", "version": "1.19.0", "startup": "2026-11-30T01:15:17.430Z",
  "system": {"distribution": "debian", "is_docker": true, "cores": 2, "cpu_endian": "little"}},
 "requests": {"rest": {"responses": {
   "PUT /collections/{collection_name}/points": {"200": {
     "count": 1, "avg_duration_micros": 13158.0, "last_responded": "2026-11-30T01:14:39.750Z"}},
   "POST /collections/{collection_name}/points/scroll": {"200": {
     "count": 1, "last_responded": "2026-11-30T01:14:39.910Z"}}}},
  "grpc": {"responses": {"/qdrant.Points/Upsert": {"0": {
     "count": 9, "last_responded": "2026-11-30T01:14:40.000Z"}}}}}}"""
REST, GRPC = "POST /collections/{collection_name}", "/qdrant.Points"


def telemetry(
    protocol: str = "", endpoint: str = "", at: str = "", **system: Any
) -> ServerTelemetry:
    told = json.loads(TOLD)
    told["app"]["system"] |= system
    if endpoint:
        answered = {"200": {"count": 3, "last_responded": f"2026-11-30T01:14:{at}Z"}}
        told["requests"][protocol]["responses"][endpoint] = answered
    return ServerTelemetry.model_validate(told)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (telemetry(), False),
        (telemetry("rest", f"{REST}/points/query", "39.000"), True),
        (telemetry("rest", f"{REST}/points/query/batch", "30.500"), True),
        (telemetry("rest", f"{REST}/points/query/groups", "29.900"), False),
        (telemetry("rest", f"{REST}/points/search", "45.000"), True),
        (telemetry("rest", f"{REST}/points/count", "45.000"), False),
        (telemetry("grpc", f"{GRPC}/QueryBatch", "39.000"), True),
        (telemetry("grpc", f"{GRPC}/Search", "39.000"), True),
        (telemetry("grpc", f"{GRPC}/Count", "45.000"), False),
        (telemetry("rest", f"{REST}/points/query", "39.000", cores=CORES_FOR_BOTH), False),
        (telemetry("rest", f"{REST}/points/query", "39.000", cores=None), False),
        (ServerTelemetry.model_validate({"id": "x", "app": {"name": "qdrant"}}), False),
    ],
)
def test_who_wants_room(told: ServerTelemetry, expected: bool) -> None:
    assert wants_room(told) is expected


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each, none of which is slept."""
    rests: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=rests.append)
    monkeypatch.setattr(room_for_searches, "time", clock)
    monkeypatch.setattr(room_for_searches, "LATELY", timedelta(seconds=0.2))
    monkeypatch.setattr(room_for_searches, "CORES_FOR_BOTH", 10**6)
    monkeypatch.setattr(room_for_searches, "LOOK_EVERY_S", 0.0)
    return rests


@contextmanager
def searching(index: VectorIndex) -> Iterator[None]:
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            index.query("vision", unit(1), 3)

    index.query("vision", unit(1), 3)
    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_load_rests_while_somebody_searches(
    served: Served, tmp_path: Path, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = served.settings.model_copy(update={"upsert_points": 5})
    with open_index(settings) as index, open_index(served.settings) as reader:
        index.ensure_collection(SPACES)
        reader.query("vision", unit(1), 3)
        time.sleep(0.5)
        load(index, tmp_path, [("a.mp4", "g1", 30)], 1, batch_rows=10)
        assert rests == []
        monkeypatch.setattr(room_for_searches, "LATELY", timedelta(minutes=1))
        with searching(reader):
            load(index, tmp_path, [("a.mp4", "g2", 30)], 2, batch_rows=10)
        assert live(index) == {"a.mp4": whole("g2", 30)}
        assert len(rests) == 7  # before each of six requests, and after the flip
        assert all(0 <= seconds <= room_for_searches.LONGEST_REST_S for seconds in rests)
        assert sum(rests) > 0
        rests.clear()
        held = settings.model_copy(update={"points_per_s": 1e9})
        with searching(reader), open_index(held) as fast:
            load(fast, tmp_path, [("a.mp4", "g3", 30)], 3, batch_rows=10)
        assert rests == []


@only_stand_ins
def test_a_server_that_does_not_tell_is_asked_once(
    served: Served, tmp_path: Path, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a key has not the right to, or a proxy lets it not through."""
    from tests.support import qdrant_server

    monkeypatch.delitem(qdrant_server.ROUTES, ("GET", "/telemetry"))
    settings = served.settings.model_copy(update={"upsert_points": 5})
    with open_index(settings) as index, open_index(served.settings) as reader:
        index.ensure_collection(SPACES)
        with searching(reader):
            for sequence in (1, 2):
                load(index, tmp_path, [("a.mp4", f"g{sequence}", 30)], sequence, batch_rows=10)
    assert rests == []
    assert served.server.requests.count(("GET", "/telemetry")) == 1
