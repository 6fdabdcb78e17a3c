"""`sensedex verify` of an index of 100,000 objects: seconds and peak memory.

    python -m tests.bench.verify [--objects N] [--dimension D] [--json FILE]

State, receipts and Parquet are real files. The bucket is a fake paginator. No Qdrant server can be
installed from a package, and local mode is not made for so many points: a process that answers as
Qdrant's REST interface does (tests/bench/verify_server.py) stands for it. Its own work is on the
same cores; what a real server needs to read its points is not in these figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from encoders.modality import Modality
from pipeline.ids import Recipe, asset_id, generation, point_id
from pipeline.payload import segment_payload
from pipeline.planning.plan import check_source_and_encoders, recipe_of
from pipeline.progress import ProgressReporter
from pipeline.records import (
    MediaInfo,
    MediaObject,
    MediaType,
    ObjectOutcome,
    Segment,
    SegmentRow,
    ShardReceipt,
    Status,
    VectorSpace,
)
from pipeline.settings import Settings, load_settings
from pipeline.state.commit import commit_state
from pipeline.state.objects import StateRow, read_state
from pipeline.state.receipts import RunFolder, commit_receipt, put_shard_data
from pipeline.state.segments import write_segments
from pipeline.state.store import open_store
from pipeline.verify.audit import AuditOptions, verify
from tests.bench.targets import at_most

TARGET_SECONDS = 60.0
TARGET_MB = 1000.0
SEGMENTS = 3
SHARD = 256
POOL = 4096
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Made:
    """Every object, id, payload and vector of the index, as functions of a number."""

    def __init__(self, objects: int, dimension: int) -> None:
        self.objects = objects
        self.dimension = dimension
        self._last: tuple[int, MediaObject, str, str] | None = None

    @cached_property
    def pool(self) -> Any:
        """Unit vectors, of which each segment has one."""
        drawn = np.random.default_rng(0).normal(size=(POOL, self.dimension))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def _recipe(self) -> Recipe:
        settings = load_settings(None, {"source.bucket": "media"})
        return recipe_of(settings, check_source_and_encoders(settings))

    def object(self, number: int) -> MediaObject:
        key = f"films/{number // 1000:06d}/clip {number:09d}.mp4"
        etag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        return MediaObject("media", key, etag, 3_000_000 + number, WHEN.isoformat())

    def asset(self, number: int) -> str:
        return self._ids(number)[0]

    def generation(self, number: int) -> str:
        return self._ids(number)[1]

    def _ids(self, number: int) -> tuple[str, str]:
        if self._last is None or self._last[0] != number:
            obj = self.object(number)
            identity = generation(obj, (), self._recipe)
            self._last = (number, obj, asset_id("media", obj.key), identity)
        return self._last[2:]

    def point(self, number: int, segment: int) -> str:
        return point_id(self.asset(number), self.generation(number), ["vision"], segment)

    def in_pool(self, number: int, segment: int) -> int:
        return (number * 7 + segment * 13) % POOL

    def payload(self, number: int, segment: int) -> dict[str, Any]:
        return segment_payload(
            obj=self.object(number),
            sidecars=(),
            asset_id=self.asset(number),
            generation=self.generation(number),
            info=MediaInfo(MediaType.VIDEO, "mp4", SEGMENTS * 2000, 640, 360, 25.0, "h264", "aac"),
            segment=Segment(segment, segment * 2000, segment * 2000 + 2000),
            has_vision=True,
            has_audio=False,
            text="",
            user_metadata={"shelf": "a7"},
            object_tags={},
            content_type="video/mp4",
            silent=False,
            spaces=["f"],
            encoder="bench",
        )

    def outcome(self, number: int) -> ObjectOutcome:
        obj = self.object(number)
        return ObjectOutcome(
            obj.key, self.asset(number), self.generation(number), obj.etag, None, obj.size_bytes,
            Status.INDEXED, MediaType.VIDEO, SEGMENTS, {"vision": SEGMENTS}, SEGMENTS * 2000,
            SEGMENTS * 2000,
        )  # fmt: skip

    def rows(self, numbers: range) -> Iterator[SegmentRow]:
        for number in numbers:
            asset, gen = self.asset(number), self.generation(number)
            for segment in range(SEGMENTS):
                yield SegmentRow(
                    self.point(number, segment),
                    asset,
                    gen,
                    Segment(segment, segment * 2000, segment * 2000 + 2000),
                    {"vision": self.pool[self.in_pool(number, segment)]},
                    self.payload(number, segment),
                )

    def pages(self) -> Iterator[dict[str, Any]]:
        """As boto3's paginator gives them."""
        for start in range(0, self.objects, 1000):
            objects = map(self.object, range(start, min(start + 1000, self.objects)))
            yield {
                "Contents": [
                    {"Key": o.key, "LastModified": WHEN, "ETag": o.etag, "Size": o.size_bytes}
                    for o in objects
                ]
            }


class FakeClient:
    """As much of an S3 client as a listing asks for."""

    def __init__(self, made: Made) -> None:
        self._made = made

    def get_paginator(self, _: str) -> FakeClient:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        return self._made.pages()


def settings_of(folder: Path, port: int = 1) -> Settings:
    return load_settings(
        None,
        {
            "source.bucket": "media",
            "state.location": str(folder / "state"),
            "index.url": f"http://127.0.0.1:{port}",
            "index.prefer_grpc": False,
        },
    )


def make(folder: Path, made: Made) -> None:
    """What a run leaves: Parquet, receipts, the state."""
    settings = settings_of(folder)
    store = open_store(settings.state.location, settings.source)
    run = RunFolder(1, "a")
    spaces = [VectorSpace("vision", Modality.VISION, made.dimension, "bench", "f")]
    digest = recipe_of(settings, check_source_and_encoders(settings)).digest()

    def states() -> Iterator[StateRow]:
        for shard, start in enumerate(range(0, made.objects, SHARD)):
            numbers = range(start, min(start + SHARD, made.objects))
            path = folder / "shard.parquet"
            sha256 = write_segments(path, made.rows(numbers), spaces)
            file = put_shard_data(store, run, shard, path)
            outcomes = tuple(map(made.outcome, numbers))
            count = SEGMENTS * len(numbers)
            commit_receipt(store, ShardReceipt("a", 1, shard, file, sha256, count, outcomes))
            for outcome in outcomes:
                yield StateRow.of(outcome, sequence=1, data_file=file, recipe=digest)

    commit_state(
        store,
        read_state(store),
        states(),
        sequence=1,
        run_id="a",
        bucket="media",
        prefix="",
        recipe=digest,
        encoder="bench",
    )


def look_once(folder: Path, made: Made, port: int) -> dict[str, Any]:
    """One look, in a process of its own: its peak memory is its own."""
    imports_mb = peak_mb()
    started = time.perf_counter(), time.process_time()
    with (
        patch("pipeline.source.bucket.make_fetching_client", lambda _: (FakeClient(made), None)),
        patch("pipeline.source.bucket.first_contact", lambda *_: None),
    ):
        options = AuditOptions(recall_queries=0)  # what answers has no graph
        report = verify(settings_of(folder, port), options, ProgressReporter())
    assert report.verdict == "agree", report.findings
    assert report.counts.live_segments == SEGMENTS * made.objects
    return {
        "seconds": time.perf_counter() - started[0],
        "cpu_seconds": time.process_time() - started[1],
        "peak_mb": peak_mb(),
        "imports_mb": imports_mb,
        "sampled": report.counts.sampled_segments,
        "parquet_mb": report.counts.parquet_bytes / 1e6,
        "phases": report.seconds_by_phase,
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(objects: int, dimension: int) -> list[dict[str, Any]]:
    size = ["--objects", str(objects), "--dimension", str(dimension)]
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        make(Path(folder), Made(objects, dimension))
        serve = [sys.executable, "-m", "tests.bench.verify_server", str(objects), str(dimension)]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                port = server.stdout.readline().strip()
                command = [sys.executable, "-m", "tests.bench.verify", *size]
                done = subprocess.run(
                    [*command, "--once", folder, "--port", port],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            finally:
                server.terminate()
    facts = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(facts, indent=1))
    # The target of time is for 100,000 objects, that of memory for any number.
    targets = {"seconds": TARGET_SECONDS * objects / 100_000, "peak_mb": TARGET_MB}
    return [
        {
            "name": f"verify {objects:,} objects, {SEGMENTS * objects:,} segments: {what}",
            "value": round(facts[what], 1),
            "unit": "s" if what == "seconds" else "MB",
            "baseline": round(target, 1),
            "ratio": round(facts[what] / target, 3),
            "targets": [at_most(round(target, 1))],
        }
        for what, target in targets.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        made = Made(given.objects, given.dimension)
        print(json.dumps(look_once(given.once, made, given.port)))
        return
    results = measure(given.objects, given.dimension)
    print(f"{'':62} {'value':>10} {'target':>10} {'ratio':>7}")
    for row in results:
        value, target = f"{row['value']} {row['unit']}", f"{row['baseline']} {row['unit']}"
        print(f"{row['name']:62} {value:>10} {target:>10} {row['ratio']:>7}")
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
