"""One run in a process of its own, as the flow does it, with a reader beside it; may be killed.

python -m tests.chaos.driver SETTINGS.json FOLDER [POINT HIT]
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import run as steps
from pipeline.graph import GraphPlan, run_in_loop
from pipeline.lease import held
from pipeline.plan import read_plan
from pipeline.planning import Planned, RunOptions, plan
from pipeline.progress import Stage
from pipeline.qdrant import VectorIndex, open_index
from pipeline.records import ShardReceipt
from pipeline.settings import load_settings
from pipeline.watch import Watch
from tests.chaos.points import arm, point_named
from tests.chaos.reading import live_now


def main(settings_json: Path, folder: Path, point: str = "", hit: str = "0") -> None:
    settings = load_settings(None, json.loads(settings_json.read_text()))
    if point:
        arm(point_named(point), int(hit), folder / "passed")
    watch = Watch()
    planned = plan(settings, RunOptions(), folder / "plan.parquet", watch)
    if planned.nothing_to_do:
        (folder / "embedded").write_text("0")
        return
    store = planned.state.store
    run_id = steps.new_run_id()
    with held(store, settings.state, run_id, after_sequence=planned.state.sequence) as lease:
        run = steps.start(settings, planned, lease)
        with open_index(settings.index) as opened, _reader(opened, folder / "reads"):
            index = opened.guarded(lease.in_time)
            index.ensure_collection(run.spaces)
            receipts = list(planned.recovered)
            for receipt in receipts:
                steps.load(run, planned, index, receipt, watch)
            for receipt in _embedded(run, planned, folder):
                receipts.append(receipt)
                steps.load(run, planned, index, receipt, watch)
            steps.remove_gone(run, planned, index, watch)
            steps.commit(run, planned, receipts)


def _embedded(run: steps.Run, planned: Planned, folder: Path) -> Iterator[ShardReceipt]:
    """The graph's stages in this process: whoever is killed here is killed whole."""
    graph = GraphPlan(run.settings, run.folder, run.spaces, dict(planned.objects_by_shard))
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    count = 0

    def see(stage: Stage, progress: Any) -> None:
        nonlocal count
        if stage is Stage.DECODE:
            count += progress.objects
            (folder / "embedded").write_text(str(count))

    if planned.to_embed:
        yield from run_in_loop(graph, rows, see)


@contextmanager
def _reader(index: VectorIndex, log: Path) -> Iterator[None]:
    """Reads what is live all along, and writes down what it saw; a line a change, a dot a read."""
    done = threading.Event()

    def read() -> None:
        last = None
        with log.open("ab", buffering=0) as file:
            while not done.is_set():
                seen = json.dumps(live_now(index), sort_keys=True)
                file.write(b"." if seen == last else f"\n{seen}".encode())
                last = seen

    index_is_there = index.exists()
    thread = threading.Thread(target=read, daemon=True)
    if index_is_there:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if index_is_there:
            thread.join(10)


if __name__ == "__main__":
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "chaos")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "chaos")
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
