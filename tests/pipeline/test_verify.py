"""Each kind of damage, made for real on an index that a real run made: found by its name, and mended
without an encoder wherever Parquet has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline import run as steps
from pipeline import spaces
from pipeline.errors import IndexUnavailable, LeaseHeld, SettingsError
from pipeline.ids import anchor_id, asset_id
from pipeline.lease import held
from pipeline.parquet import file_sha256, read_spaces, write_segments
from pipeline.planning import RunOptions, plan
from pipeline.qdrant import VectorIndex, open_index
from pipeline.ray_session import ray_session
from pipeline.receipts import receipt_of
from pipeline.records import ShardReceipt
from pipeline.report import RunReport
from pipeline.settings import Settings, load_settings
from pipeline.state import StateRow, commit_state, read_state
from pipeline.store import open_store
from pipeline.verify.findings import Finding, Verdict, VerifyReport
from pipeline.verify.look import LookOptions, verify
from pipeline.verify.repair import Round, mend, rounds_of
from pipeline.watch import Watch
from tests import media_files
from tests.plain_run import run_plainly
from tests.s3_server import S3Server, s3_server  # noqa: F401

FILM = "films/one.mp4"
SRT = b"1\n00:00:02,000 --> 00:00:04,000\nthe second picture\n"
WHOLE = LookOptions(seed=1)


@dataclass(frozen=True, slots=True)
class Made:
    """What a run left, and the objects that it read."""

    folder: Path
    objects: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """A copy of it that a test may damage."""

    server: S3Server
    settings: Settings
    folder: Path

    def look(self, options: LookOptions = WHOLE) -> VerifyReport:
        return verify(self.settings, options, Watch())

    def found(self) -> dict[str, tuple[int, int]]:
        """Of each name that is found, (objects, points)."""
        return {str(row.name): (row.objects, row.points) for row in self.look().findings}

    def mend(self) -> Round:
        return mend(self.settings, WHOLE, Watch())

    def client(self) -> Any:
        return self.server.client()

    def files(self) -> list[Path]:
        return sorted(Path(self.settings.state.location).glob("runs/*/shards/*.parquet"))

    def fetched(self) -> set[str]:
        """Objects that were fetched from the bucket."""
        paths = (path for verb, path in self.server.requests if verb == "GET")
        return {p.removeprefix("/media/") for p in paths if p.strip("/").count("/")}


def settings_for(server: S3Server, folder: Path, **more: Any) -> Settings:
    return load_settings(
        None,
        {
            "source.bucket": "media",
            "source.endpoint_url": server.url,
            "index.path": folder / "qdrant",
            "state.location": str(folder / "state"),
            "state.shard_objects": 4,
            "state.max_removed_share": 0.5,
            **more,
        },
    )


def fill(server: S3Server, objects: dict[str, bytes]) -> None:
    client = server.client()
    for key, body in objects.items():
        client.put_object(Bucket="media", Key=key, Body=body, Metadata={"shelf": "a7"})
    server.requests.clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Six good objects, one with a sidecar, and one bad one, in two shards."""
    folder = tmp_path_factory.mktemp("made")
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(3)}
    objects |= {f"sounds/{n}.wav": media_files.wav(n) for n in range(2)}
    objects[FILM] = media_files.mp4(folder, 7)
    objects["films/one.srt"] = SRT
    objects["bad/text.mp4"] = b"not a film at all\n" * 30
    server = S3Server()
    try:
        server.client().create_bucket(Bucket="media")
        fill(server, objects)
        run_plainly(settings_for(server, folder), RunOptions())
    finally:
        server.stop()
    return Made(folder, objects)


@pytest.fixture
def place(made: Made, s3_server: S3Server, tmp_path: Path) -> Place:  # noqa: F811
    for part in ("qdrant", "state"):
        shutil.copytree(made.folder / part, tmp_path / part)
    fill(s3_server, made.objects)
    return Place(s3_server, settings_for(s3_server, tmp_path), tmp_path)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an encoder was loaded")

    monkeypatch.setattr(spaces, "load_encoder", refuse)


def points_of(index: VectorIndex, key: str, **fields: Any) -> list[q.Record]:
    """An asset's segments in their order, with all that they hold."""
    wanted = {"asset_id": asset_id("media", key), "kind": "segment", **fields}
    found, _ = index._client.scroll(
        "media",
        scroll_filter=q.Filter(
            must=[q.FieldCondition(key=k, match=q.MatchValue(value=v)) for k, v in wanted.items()]
        ),
        limit=100,
        with_vectors=True,
    )
    return sorted(found, key=lambda point: (point.payload or {})["segment_index"])


Damage = Callable[[VectorIndex], None]


def _put(index: VectorIndex, like: q.Record, point_id: Any = None, **payload: Any) -> None:
    """Write a point over (or, by another id, beside) one that is there."""
    assert like.payload is not None
    point = q.PointStruct(
        id=like.id if point_id is None else point_id,
        vector=like.vector,
        payload={**like.payload, **payload},
    )
    index._client.upsert("media", [point])


def points_go(index: VectorIndex) -> None:
    index.points().delete([point.id for point in points_of(index, FILM)[:2]])


def an_anchor_goes(index: VectorIndex) -> None:
    index.points().delete([anchor_id(asset_id("media", FILM))])


def an_anchor_lies(index: VectorIndex) -> None:
    anchor = [anchor_id(asset_id("media", FILM))]
    index._client.set_payload("media", {"segments": 7}, points=anchor)


def points_hide(index: VectorIndex) -> None:
    index._client.set_payload("media", {"live": False}, points=[points_of(index, FILM)[1].id])


def a_payload_changes(index: VectorIndex) -> None:
    index._client.set_payload("media", {"text": "other"}, points=[points_of(index, FILM)[1].id])


def a_field_goes(index: VectorIndex) -> None:
    index._client.delete_payload("media", ["mime"], points=[anchor_id(asset_id("media", FILM))])


def a_payload_is_of_another_generation(index: VectorIndex) -> None:
    point = points_of(index, FILM)[1]
    index._client.set_payload("media", {"generation": "0" * 16}, points=[point.id])


def a_payload_is_lost(index: VectorIndex) -> None:
    index._client.clear_payload("media", [points_of(index, FILM)[1].id])


def a_vector_changes(index: VectorIndex) -> None:
    point = points_of(index, FILM)[2]
    assert isinstance(point.vector, dict)
    vision = np.asarray(point.vector["vision"], np.float32)
    vision[3] += 0.01
    index._client.update_vectors(
        "media", [q.PointVectors(id=point.id, vector={"vision": vision.tolist()})]
    )


def a_vector_goes(index: VectorIndex) -> None:
    index._client.delete_vectors("media", ["audio"], [points_of(index, FILM)[0].id])


def an_old_generation_is_left(index: VectorIndex) -> None:
    _put(index, points_of(index, FILM)[0], str(uuid.uuid4()), generation="f" * 16, live=False)


def the_live_generation_has_more(index: VectorIndex) -> None:
    _put(index, points_of(index, FILM)[0], str(uuid.uuid4()), segment_index=17)


def an_object_is_unknown(index: VectorIndex) -> None:
    gone = {"asset_id": asset_id("media", "gone.mp4"), "key": "gone.mp4"}
    for number in range(2):
        _put(index, points_of(index, FILM)[number], str(uuid.uuid4()), **gone)


def a_rejected_object_is_shown(index: VectorIndex) -> None:
    bad = {"asset_id": asset_id("media", "bad/text.mp4"), "key": "bad/text.mp4"}
    _put(index, points_of(index, FILM)[0], str(uuid.uuid4()), **bad)


def points_are_nobodys(index: VectorIndex) -> None:
    vector = {"vision": [1.0] + [0.0] * 255}
    points = [q.PointStruct(id=5, vector=vector), q.PointStruct(id=str(uuid.uuid4()), vector=vector)]
    index._client.upsert("media", points)


def the_collection_goes(index: VectorIndex) -> None:
    index._client.delete_collection("media-1")


# A film has 3 windows; 5 good objects of 1 and 3 segments: 3 pictures, 2 sounds of 3, the film.
SEGMENTS = 3 + 2 * 3 + 3
DAMAGES: dict[Damage, dict[str, tuple[int, int]]] = {
    points_go: {"points_missing": (1, 2)},
    an_anchor_goes: {"anchor_missing": (1, 1)},
    an_anchor_lies: {"anchor_differs": (1, 1)},
    points_hide: {"points_hidden": (1, 1)},
    a_payload_changes: {"payload_differs": (1, 1)},
    a_field_goes: {"payload_differs": (1, 1)},
    a_payload_is_of_another_generation: {"payload_differs": (1, 1)},
    a_payload_is_lost: {"payload_differs": (1, 2)},
    a_vector_changes: {"vector_differs": (1, 1)},
    a_vector_goes: {"vector_differs": (1, 1)},
    an_old_generation_is_left: {"points_superseded": (1, 1)},
    the_live_generation_has_more: {"points_unaccounted": (1, 1)},
    an_object_is_unknown: {"points_of_no_object": (1, 2)},
    a_rejected_object_is_shown: {"points_superseded": (1, 1)},
    points_are_nobodys: {"points_unidentified": (0, 2)},
    the_collection_goes: {
        "collection_missing": (0, 0),
        "points_missing": (6, SEGMENTS),
        "anchor_missing": (6, 6),
    },
}


def test_an_index_that_a_run_left_is_proven(place: Place) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet"))
    report = place.look()
    assert report.verdict is Verdict.AGREE
    assert report.findings == ()
    counts = report.counts
    assert counts.listed == 8
    assert counts.objects_by_cause == {"indexed": 6, "rejected: not_media": 1}
    assert counts.segments == counts.parquet_segments == counts.live_segments == SEGMENTS
    assert counts.sampled_segments == SEGMENTS
    assert counts.undetected_share == 0
    assert (counts.anchors, counts.points) == (6, SEGMENTS + 6)
    assert counts.precisions == {"vision": "float32", "audio": "float32", "text": "float32"}
    assert counts.parquet_files == 2
    # It only reads: no GET, no write, not even a lease.
    assert place.fetched() == set()
    assert place.server.count("PUT") == 0
    assert sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet")) == before
    assert VerifyReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_mended_from_parquet(place: Place, damage: Damage) -> None:
    with open_index(place.settings.index) as index:
        damage(index)
    report = place.look()
    found = {str(row.name): (row.objects, row.points) for row in report.findings}
    assert found == DAMAGES[damage]
    assert report.verdict is Verdict.DISAGREE
    assert all(row.examples for row in report.findings)

    done = place.mend()
    assert not done.needs_run
    after = place.look()
    assert after.verdict is Verdict.AGREE, after.findings
    assert place.fetched() == set(), "Parquet had it"
    with open_index(place.settings.index) as index:
        assert len(points_of(index, FILM, live=True)) == 3
        assert index.count(live_only=False) == index.count() == SEGMENTS
