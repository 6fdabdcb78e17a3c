"""One run as the flow does it, in this process alone, with a reader beside it; it may be killed or
stopped at a point. `main` is called by `tests.chaos.host`, in a fork."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import run as steps
from pipeline.encode_stage import EncodeStage
from pipeline.graph import GraphPlan, run_in_loop
from pipeline.plan import read_plan
from pipeline.planning import Planned, RunOptions, plan
from pipeline.records import ShardReceipt
from pipeline.settings import load_settings
from pipeline.watch import Watch
from pipeline.writing import writing
from tests.chaos.points import Kind, arm, point_named
from tests.chaos.reading import reading


def main(
    folder: Path, point: str = "", hit: int = 0, action: str = "kill", scratch: str = ""
) -> None:
    tempfile.tempdir = scratch or None
    settings = load_settings(None, json.loads((folder / "settings.json").read_text()))
    if point:
        kind = Kind.BUCKET if settings.state.location.startswith("s3:") else Kind.FOLDER
        arm(point_named(point, kind), hit, folder / "passed", action)
    _note_embedded(folder / "embedded")
    watch = Watch()
    new_run = steps.new_run_id()
    planned = plan(settings, RunOptions(), folder / f"plan-{new_run}.parquet", watch)
    if planned.nothing_to_do:
        return
    with (
        writing(settings, planned.state.store, new_run, after_sequence=planned.state.sequence) as (
            lease,
            index,
        ),
        # A server has a reader of its own; the embedded engine is open to this process alone.
        nullcontext() if settings.index.url else reading(index, folder / "reads"),
    ):
        run = steps.start(settings, planned, lease)
        index.ensure_collection(run.spaces)
        receipts = list(planned.recovered)
        for receipt in receipts:
            steps.load(run, planned, index, receipt, watch)
        for receipt in _embedded(run, planned):
            receipts.append(receipt)
            steps.load(run, planned, index, receipt, watch)
        steps.sweep(run, planned, index, watch)
        steps.commit(run, planned, receipts)


def _embedded(run: steps.Run, planned: Planned) -> Iterator[ShardReceipt]:
    """The graph's stages in this process: whoever is killed here is killed whole."""
    graph = GraphPlan(run.settings, run.folder, run.spaces, dict(planned.objects_by_shard))
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    if planned.to_embed:
        yield from run_in_loop(graph, rows, _ignore)


def _ignore(*_: Any) -> None:
    """Nobody looks."""


def _note_embedded(file: Path) -> None:
    """Keep the numbers of the shards in the file of which the encoder has given something."""
    original = EncodeStage.table
    shards: set[int] = set()

    def table(stage: EncodeStage, decoded: pa.Table) -> pa.Table:
        encoded = original(stage, decoded)
        shards.update(encoded.column("shard").to_pylist())
        file.write_text(json.dumps(sorted(shards)))
        return encoded

    EncodeStage.table = table  # type: ignore[method-assign]
