"""`make chaos`: every point of the protocol at its first, middle and last passing.

A table, and JSON under build/chaos/. Exit status 1 where anything was lost, doubled or half seen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos.harness import Attempt, Scene
from tests.chaos.points import POINTS
from tests.s3_server import S3Server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos"))
    parser.add_argument("--only", help="points whose name has this in it")
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "chaos")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "chaos")
    options.out.mkdir(parents=True, exist_ok=True)
    attempts: list[Attempt] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        server = S3Server()
        server.client().create_bucket(Bucket="media")
        scene = Scene(server, Path(folder))
        print(f"{'point':<28}{'hit':>8}{'ended':>10}{'again':>7}{'reads':>8}{'lost':>6}{'doubled':>9}"
              f"{'half':>6}")  # fmt: skip
        for point in POINTS:
            if options.only and options.only not in point.name:
                continue
            count = scene.hits(point.name)
            for hit in sorted({1, (count + 1) // 2, count} - {0}):
                attempt = scene.attempt(point.name, hit)
                attempts.append(attempt)
                ended = "as clean" if attempt.converged else "OTHERWISE"
                print(
                    f"{point.name:<28}{f'{hit}/{count}':>8}{ended:>10}{attempt.again:>7}"
                    f"{attempt.reads:>8}{attempt.lost:>6}{attempt.doubled:>9}{attempt.half:>6}"
                    f"{'' if attempt.killed else '  not killed'}",
                    flush=True,
                )
    reads = sum(attempt.reads for attempt in attempts)
    print(
        f"{len(attempts)} kills, {sum(a.clean for a in attempts)} clean, {reads} reads, "
        f"{time.perf_counter() - started:.0f} s"
    )
    (options.out / "chaos.json").write_text(json.dumps([asdict(a) for a in attempts], indent=1))
    return not all(attempt.clean and attempt.killed for attempt in attempts)


if __name__ == "__main__":
    sys.exit(main())
