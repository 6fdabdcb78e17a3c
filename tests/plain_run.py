"""A whole run as a plain script: the steps of `pipeline.run` with the stages in a loop, so that a
test of something else need not wait for Ray and Prefect."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline import run as steps
from pipeline.finish import keep_report, report_of
from pipeline.graph import GraphPlan, run_in_loop
from pipeline.index_check import check_index
from pipeline.plan import read_plan
from pipeline.planning import RunOptions, plan
from pipeline.progress import Stage, StageProgress
from pipeline.report import RunReport
from pipeline.settings import Settings
from pipeline.watch import Watch
from pipeline.writing import writing


def run_plainly(settings: Settings, options: RunOptions) -> RunReport:
    """As `flows.index.run_index`, in this thread alone."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        planned = plan(settings, options, Path(folder) / "plan.parquet", watch)
        check_index(settings, planned)
        if planned.nothing_to_do:
            return report_of(settings, planned, (), watch)
        after = planned.state.sequence
        name = steps.new_run_id()
        with writing(settings, planned.state.store, name, after_sequence=after) as (lease, index):
            run = steps.start(settings, planned, lease)
            index.ensure_collection(run.spaces)
            graph = GraphPlan(settings, run.folder, run.spaces, dict(planned.objects_by_shard))
            rows = (row for row in read_plan(planned.path) if row.shard >= 0)
            receipts = [*planned.recovered, *run_in_loop(graph, rows, _ignore)]
            for receipt in receipts:
                steps.load(run, planned, index, receipt, watch)
            steps.sweep(run, planned, index, watch)
            steps.commit(run, planned, receipts)
            report = report_of(settings, planned, receipts, watch, run=run, points=index.count())
            keep_report(run, report)
    return report


def _ignore(_stage: Stage, _progress: StageProgress) -> None:
    """Nobody looks."""
