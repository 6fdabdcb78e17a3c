"""Runs killed and disturbed while they write to a real Qdrant server, on one node and on three, by
gRPC and by REST; and that server killed under them.

    SENSEDEX_TEST_QDRANT_BIN=PROGRAM python -m tests.chaos.on_server [--nodes 1 3]
        [--ways grpc rest] [--only PATTERN] [--objects 24] [--out FOLDER]

A table, and JSON under build/chaos/. Exit status 1 where anything was lost, doubled, seen in part
while it was replaced, or ended otherwise than a clean run. Without a server there is nothing to
disturb; it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.settings import IndexSettings
from tests.chaos.accidents import (
    changed_on_the_way,
    gone_after_a_kill,
    late_riser,
    server_away,
    two_at_once,
)
from tests.chaos.host import Host
from tests.chaos.kills import Attempt, attempt
from tests.chaos.points import Kind, point_named
from tests.chaos.scene import Scene, Way
from tests.chaos.table import SCREEN_HEAD, screen_line
from tests.support.real_qdrant import QdrantNodes, named_binary
from tests.support.s3_server import S3Server, reset_moto

NO_SERVER = (
    "No run writes to a real Qdrant server: there is none. SENSEDEX_TEST_QDRANT_BIN names its "
    "program."
)
# A point that is passed, and at which passing.
KILLS = (
    ("between upsert batches", 2),
    ("upsert on its way", 3),
    ("after count", 1),
    ("flip on its way", 1),
    ("in the flip", 1),
    ("after flip", 1),
    ("after load receipt", 1),
    ("before removal", 1),
    ("after removal", 1),
    ("before the state write", 1),
)
SLEEPS = (
    ("between upsert batches", 2),
    ("upsert on its way", 3),
    ("after count", 1),
    ("flip on its way", 1),
    ("after flip", 1),
    ("before removal", 1),
)
SERVER_AWAY = (
    ("between upsert batches", 2, "kill"),
    ("after count", 1, "kill"),
    ("flip on its way", 1, "kill"),
    ("before removal", 1, "kill"),
    ("flip on its way", 1, "hold"),
)
Case = tuple[str, Callable[[], Attempt]]


def settings_on(nodes: QdrantNodes, *, grpc: bool) -> IndexSettings:
    """Of three nodes, shards and replicas that outlive the loss of one."""
    first = nodes.nodes[0]
    more = {"shards": 3, "replicas": 2} if len(nodes.nodes) > 1 else {}
    return IndexSettings(url=first.url, grpc_port=first.grpc_port, prefer_grpc=grpc, **more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos"))
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--ways", nargs="*", choices=["grpc", "rest"], default=["grpc", "rest"])
    parser.add_argument("--only", default="", help="a pattern that is found in the name")
    parser.add_argument("--objects", type=int, default=24)
    options = parser.parse_args()
    binary = named_binary()
    if binary is None:
        print(NO_SERVER)
        return 0
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "chaos")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "chaos")
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    attempts: list[Attempt] = []
    print(SCREEN_HEAD)
    with tempfile.TemporaryDirectory() as folder, Host() as host:
        s3 = S3Server()
        for count in options.nodes:
            nodes = QdrantNodes(binary, Path(folder) / f"nodes-{count}", count)
            try:
                for way in options.ways:
                    reset_moto(s3.url)
                    s3.client().create_bucket(Bucket="media")
                    place = Path(folder) / f"{count}-{way}"
                    index = settings_on(nodes, grpc=way == "grpc")
                    scene = Scene(s3, host, place, objects=options.objects, index=index)
                    for name, run in cases(scene, nodes):
                        if not re.search(options.only, name):
                            continue
                        done = replace(run(), what=f"{_told(count, way)}: {name}")
                        attempts.append(done)
                        print(screen_line(done), flush=True)
                        written = json.dumps([asdict(one) for one in attempts], indent=1)
                        (options.out / "on_server.json").write_text(written)
            finally:
                nodes.close()
        s3.stop()
    print(
        f"{len(attempts)} disturbed runs, {sum(one.clean for one in attempts)} clean, "
        f"{sum(one.reads for one in attempts):,} reads, {time.perf_counter() - began:.0f} s"
    )
    return not all(one.clean for one in attempts)


def cases(scene: Scene, nodes: QdrantNodes) -> Iterator[Case]:
    """Each with its name. Of three nodes the last is killed: the run speaks to the first."""
    grpc = scene.by_grpc
    for name, hit in KILLS:
        point = point_named(name, grpc=grpc)
        yield f"killed: {name}", lambda p=point, h=hit: attempt(scene, p, h)  # type: ignore[misc]
    for name, hit in SLEEPS:
        yield (
            f"asleep {name}",
            lambda n=name, h=hit: late_riser(scene, n, h, 0, Kind.FOLDER),  # type: ignore[misc]
        )
    yield "two at once", lambda: two_at_once(scene, 0, Way())
    yield "objects change on the way", lambda: changed_on_the_way(scene, 0, gone=False)
    yield "objects go after a kill", lambda: gone_after_a_kill(scene, 0, "after count")
    node = nodes.nodes[-1]
    for name, hit, strike in SERVER_AWAY:
        yield (
            f"server {'killed' if strike == 'kill' else 'holds still'}: {name}",
            lambda n=name, h=hit, s=strike: server_away(scene, node, n, h, 0, s),  # type: ignore[misc]
        )


def _told(count: int, way: str) -> str:
    return (
        f"{'one node' if count == 1 else f'{count} nodes'}, {'gRPC' if way == 'grpc' else 'REST'}"
    )


if __name__ == "__main__":
    sys.exit(main())
