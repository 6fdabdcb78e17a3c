"""`make chaos`: runs killed at every point of the protocol, at its first, middle and last passing,
and what else can happen to them.

A table, and JSON under build/chaos/. Exit status 1 where anything was lost, doubled, half seen, or
the next run did not end as a clean one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.chaos.accidents import (
    SLEEPS,
    changed_on_the_way,
    gone_after_a_kill,
    late_riser,
    two_at_once,
)
from tests.chaos.disks import ROOM_BYTES, full_disk, may_mount
from tests.chaos.event_kills import ORDERS, killed_with_events
from tests.chaos.host import Host
from tests.chaos.kills import Attempt, attempt, hits_of
from tests.chaos.points import Kind, point_named, points_of
from tests.chaos.scene import Scene, Way
from tests.chaos.table import SCREEN_HEAD, screen_line
from tests.support.s3_server import S3Server, reset_moto

DOUBLE_KILLS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos"))
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--objects", type=int, default=64)
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "chaos")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "chaos")
    options.out.mkdir(parents=True, exist_ok=True)
    if not may_mount():
        print("full disks are left out: only root may mount one")
    started = time.perf_counter()
    attempts: list[Attempt] = []
    print(SCREEN_HEAD)
    with tempfile.TemporaryDirectory() as folder, Host() as host:
        server = S3Server()
        for seed in range(options.seeds):
            reset_moto(server.url)
            server.client().create_bucket(Bucket="media")
            place = Path(folder) / f"seed-{seed}"
            scene = Scene(server, host, place, objects=options.objects, seed=seed)
            for done in _all_of(scene, seed, options.only):
                attempts.append(done)
                print(screen_line(done), flush=True)
                written = json.dumps([asdict(one) for one in attempts], indent=1)
                (options.out / "chaos.json").write_text(written)
    reads = sum(one.reads for one in attempts)
    print(
        f"{len(attempts)} disturbed runs, {sum(one.clean for one in attempts)} clean, "
        f"{reads:,} reads, {time.perf_counter() - started:.0f} s"
    )
    return not all(one.clean for one in attempts)


def _all_of(scene: Scene, seed: int, only: str) -> Iterator[Attempt]:
    """Everything with a folder; in a bucket, the points at which something is stored."""
    for kind in Kind:
        way = Way(kind)
        for point in points_of(kind):
            stored = "pipeline.state.store:" in point.where
            if only in point.name and (kind is Kind.FOLDER or stored):
                count = hits_of(scene, point, way)
                if count == 0:  # only a run that mends passes it
                    before = point_named("after receipt", kind)
                    yield attempt(scene, before, 1, seed=seed, way=way, then=(point, 1))
                    continue
                hits = {1, (count + 1) // 2, count} if kind is Kind.FOLDER else {(count + 1) // 2}
                for hit in sorted(hits):
                    yield attempt(scene, point, hit, of_hits=count, seed=seed, way=way)
    for point in points_of(Kind.FOLDER, events=True):
        for order in ORDERS:
            if only in f"{point.name}, {order}" and order.passes(point):
                yield killed_with_events(scene, point, 1, order, seed=seed)
    chosen = random.Random(seed)
    for _ in range(DOUBLE_KILLS):
        # In their order: what was committed before the first kill is not done a second time.
        points = points_of(Kind.FOLDER)[2:-1]
        first, second = (points[n] for n in sorted(chosen.sample(range(len(points)), 2)))
        if first.name == "after the last sweep":  # a run that mends nothing does not pass it
            first = point_named("after receipt")
        if only in f"{first.name}, then {second.name}":
            yield attempt(scene, first, 1, seed=seed, then=(second, 1))
    for kind in Kind:
        if only in "two at once":
            yield two_at_once(scene, seed, Way(kind))
    for number, (name, hit) in enumerate(SLEEPS):
        if only in f"asleep {name}":
            yield late_riser(scene, name, hit, seed, list(Kind)[(number + seed) % 2])
    for gone in (False, True):
        if only in "objects on the way":
            yield changed_on_the_way(scene, seed, gone=gone)
    for killed in ("after count", "after load receipt"):
        if only in f"objects go after a kill {killed}":
            yield gone_after_a_kill(scene, seed, killed)
    for which in ROOM_BYTES:
        if only in f"full disk: {which}" and may_mount():
            yield full_disk(scene, which, seed)


if __name__ == "__main__":
    sys.exit(main())
