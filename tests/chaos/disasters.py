"""Kills of everything that a run needs, one at a time, while it is at work.

python -m tests.chaos.disasters [--only PATTERN] [--out FOLDER]

Real runs in processes of their own: the command, a Prefect server, Ray, S3, and Qdrant behind
HTTP, which a reader polls all along. The next run after each has the stages in one process, without
Ray. A table, and JSON under build/chaos/. Exit status 1 where anything was lost, doubled or half
seen, ended otherwise than a clean run, hung, or left a process behind.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil

from tests.chaos.disaster_scene import Disaster, DisasterScene, Outcome, UnderWay
from tests.chaos.real_run import PrefectServer
from tests.support.s3_server import S3Server

AWAY_S = 3.0
LONGEST_WAIT_S = 120.0
KILLED = -9
LATER = 5  # flows.cli.exit_codes: may work later


def kill_worker(word: str) -> Callable[[UnderWay], bool]:
    """The Ray processes with that word in their title."""

    def strike(under_way: UnderWay) -> bool:
        return _kill(under_way.run.family.named(word))

    return strike


def kill_prefect(under_way: UnderWay) -> bool:
    under_way.prefect.kill()
    return True


def kill_qdrant(moment: str, back_after_s: float | None) -> Callable[[UnderWay], bool]:
    """At a moment of its own; None: it stays away until the run has ended."""

    def strike(under_way: UnderWay) -> bool:
        under_way.qdrant.arm(moment)
        under_way.let_go()
        dead = under_way.qdrant.wait_dead(LONGEST_WAIT_S)
        if back_after_s is not None:
            time.sleep(back_after_s)
            under_way.qdrant.start()
        return dead

    return strike


def kill_run_while_loading(under_way: UnderWay) -> bool:
    under_way.qdrant.arm("stall")
    under_way.let_go()
    loading = under_way.run.wait_for(under_way.qdrant.stalled)
    under_way.run.kill_group()
    return loading


def _kill(processes: list[psutil.Process]) -> bool:
    for process in processes:
        process.kill()
    return bool(processes)


DISASTERS = (
    Disaster("Ray decode actor", kill_worker("RayDecode")),
    Disaster("Ray encode actor", kill_worker("RayEncode")),
    Disaster("Ray write actor", kill_worker("RayWrite")),
    Disaster("Ray progress board", kill_worker("_Board")),
    Disaster("raylet", kill_worker("/raylet/raylet"), ends=(LATER,)),
    Disaster("Prefect server", kill_prefect),
    Disaster("Qdrant in an upsert, back", kill_qdrant("upsert", AWAY_S)),
    Disaster("run, while loading", kill_run_while_loading, ends=(KILLED,)),
    Disaster("real engine in an upsert", kill_qdrant("upsert", AWAY_S), engine="edge"),
    Disaster("real engine optimising", kill_qdrant("optimize", AWAY_S), engine="edge"),
    Disaster("Qdrant in an upsert, gone", kill_qdrant("upsert", None), ends=(LATER,)),
)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos"))
    parser.add_argument("--only", default="", help="disasters whose name this pattern is found in")
    options = parser.parse_args()
    chosen = [d for d in DISASTERS if re.search(options.only, d.name)]
    if importlib.util.find_spec("qdrant_edge") is None:
        print("qdrant-edge-py is not installed: the real engine is left out")
        chosen = [d for d in chosen if d.engine != "edge"]
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "chaos")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "chaos")
    signal.signal(signal.SIGTERM, _stop)  # so that what was started is stopped
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        s3 = S3Server()
        s3.client().create_bucket(Bucket="media")
        prefect = PrefectServer(Path(folder) / "prefect")
        prefect.start()
        try:
            scene = DisasterScene(s3, prefect, Path(folder), {d.engine for d in chosen})
            print(f"{'killed':<28}{'status':>7}{'s':>6}{'next':>6}{'ended':>10}{'again':>6}{'reads':>7}"
                  f"{'refused':>8}{'lost':>5}{'doubled':>8}{'half':>5}")  # fmt: skip
            for disaster in chosen:
                outcome = scene.attempt(disaster)
                outcomes.append(outcome)
                _show(outcome)
                told = json.dumps([asdict(o) for o in outcomes], indent=1)
                (options.out / "disasters.json").write_text(told)
        finally:
            prefect.stop()
            s3.stop()
    print(f"{len(outcomes)} disasters, {sum(o.clean for o in outcomes)} clean, "
          f"{sum(o.reads for o in outcomes)} reads")  # fmt: skip
    return not all(outcome.clean for outcome in outcomes)


def _show(o: Outcome) -> None:
    ended = "as clean" if o.converged else "OTHERWISE"
    print(
        f"{o.name:<28}{o.status:>7}{o.seconds:>6.0f}{o.remaining:>6}{ended:>10}{o.again:>6}"
        f"{o.reads:>7}{o.refused:>8}{o.lost:>5}{o.doubled:>8}{o.half:>5}",
        flush=True,
    )
    notes = {
        "did not happen": not o.struck,
        "hung": o.hung,
        f"{o.failed} objects failed": o.failed,
        f"ended with {o.status}, not {o.expected}": o.status not in o.expected,
        "more than a shard again": not o.within_a_shard,
        f"left behind: {'; '.join(o.left)}": o.left,
    }
    for note, holds in notes.items():
        if holds:
            print(f"    {note}", flush=True)
    if o.status not in (0, KILLED):
        print("    " + "\n    ".join(o.said.splitlines()[-3:]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
