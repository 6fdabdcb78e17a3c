"""A state and a collection of an older commit, with two encoders and tags, are gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli.demo_server import DemoServer
from pipeline.index.vector_index import open_index
from pipeline.run import steps
from pipeline.run.whole_run import run_index
from pipeline.s3 import client as s3
from pipeline.search.request import asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings
from pipeline.state.objects import read_state
from pipeline.state.segments import read_segments
from pipeline.state.store import open_store
from tests.older_state import BEFORE_ROOMS, BUCKET, KEYS, content, older_settings, stored_points
from tests.support.s3_server import S3Server

POINTS: dict[str, dict[str, Any]] = json.loads((BEFORE_ROOMS / "points.json").read_bytes())
COW = ("photos/cow.jpg", "photos/cow.txt")  # with its caption


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy, which a test may change."""
    return Path(shutil.copytree(BEFORE_ROOMS, tmp_path / "kept"))


def fill(settings: Settings) -> s3.S3Client:
    client = s3.make_client(settings.source)
    client.create_bucket(Bucket=BUCKET)
    for key in KEYS:
        client.put_object(Bucket=BUCKET, Key=key, Body=content(key))
    return client


def digests(folder: Path) -> dict[str, str]:
    """Of every file but the locks, which are there while somebody looks."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("lock")
    }


@contextmanager
def nothing_embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def embedded(*_: object) -> None:
        raise AssertionError("something is embedded")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "receipts_in_loop", embedded)
        yield


def check_nothing_is_new(settings: Settings, kept: Path) -> None:
    before = digests(kept)
    report = run_index(settings)
    assert dict(report.objects_by_action) == {"unchanged": len(KEYS)}
    assert (report.segments, report.bytes_fetched) == (0, 0)
    assert stored_points(settings) == POINTS
    assert digests(kept) == before


def test_a_run_has_nothing_to_do(
    s3_server: S3Server,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = older_settings(s3_server.url, kept)
    fill(settings)
    s3_server.requests.clear()
    with nothing_embedded(monkeypatch):
        check_nothing_is_new(settings, kept)
    assert s3_server.count("GET") == s3_server.count("HEAD") == 0


def test_so_it_is_with_a_server_that_keeps_its_objects(
    seaweed_server: DemoServer, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = older_settings(seaweed_server.url, kept)
    fill(settings)
    with nothing_embedded(monkeypatch):
        check_nothing_is_new(settings, kept)
    assert seaweed_server.object_gets(BUCKET) == 0


def test_what_is_found_is_what_was_stored(kept: Path) -> None:
    """The vectors are those of the Parquet files, and a search gives the payload as it is."""
    settings = older_settings("http://127.0.0.1:1", kept)
    store = open_store(settings.state.location, settings.source)
    files = {row.data_file for row in read_state(store).rows() if row.data_file is not None}
    assert len(files) == 4
    seen = set()
    with open_index(settings.index) as index:
        for name in files:
            with store.local_copy(name) as path:
                for batch in read_segments(path):
                    found = index.points().fetch(batch.point_ids)
                    for vector_name, (rows, matrix) in batch.vectors.items():
                        for row, vector in zip(rows, matrix, strict=True):
                            point = found.get(batch.point_ids[row])
                            if point is not None:
                                stored = point.vectors[vector_name]
                                np.testing.assert_allclose(stored, vector, atol=1e-6)
                                seen.add(point.point_id)
    segments = {point for point, payload in POINTS.items() if payload["kind"] == "segment"}
    assert seen == segments
    with open_searcher(settings) as searcher:
        for key in ("photos/lion.jpg", "photos/cow.jpg"):
            best = searcher.search(asked(words=key[7:-4]))[0]
            assert best.key == key
            assert best.payload in POINTS.values()
            assert "tags" in best.payload


def test_one_changed_object_is_done_alone(s3_server: S3Server, kept: Path) -> None:
    settings = older_settings(s3_server.url, kept)
    client = fill(settings)
    client.put_object(Bucket=BUCKET, Key=COW[0], Body=content("photos/owl.jpg"))
    s3_server.requests.clear()
    report = run_index(settings)
    assert dict(report.objects_by_action) == {"unchanged": len(KEYS) - 2, "changed": 2}
    segments = [p for p in POINTS.values() if p["kind"] == "segment"]
    assert (report.segments, report.points_in_index) == (1, len(segments))
    assert [s3_server.count("GET", f"{BUCKET}/{key}") for key in COW] == [1, 1]
    assert s3_server.count("GET") == 2
    now = stored_points(settings)
    assert {point: p for point, p in now.items() if p["key"] != COW[0]} == {
        point: p for point, p in POINTS.items() if p["key"] != COW[0]
    }
    cow = [p for p in now.values() if p["key"] == COW[0]]
    assert sorted(p["kind"] for p in cow) == ["asset", "segment"]
    assert {p["sequence"] for p in cow} == {3}
    assert len({p["generation"] for p in cow} & {p["generation"] for p in POINTS.values()}) == 0
