"""`sensedex plan`: the plan of a run, shown and thrown away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType

from flows.cli.json_output import print_json
from flows.cli.log_format import RunLog
from flows.cli.render import render_plan
from flows.cli.render_estimate import render_estimate
from flows.log_redirect import quiet_logs
from pipeline import codec
from pipeline.estimate.calibration import keep_calibration, merged
from pipeline.estimate.estimate import Machines
from pipeline.local_files import scratch_folder
from pipeline.planning.file import read_plan
from pipeline.planning.plan import plan
from pipeline.progress import ProgressReporter
from pipeline.run.expected import expected, kept_calibration
from pipeline.run.preflight import check_queries
from pipeline.run_options import RunOptions
from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the estimate is to be made by: a probe, and the machines that will run; `say` hears what
    a probe is at."""

    probe: bool = False
    machines: Machines | None = None
    say: Callable[[str], None] = lambda _: None


def show_plan(
    console: Console,
    settings: Settings,
    *,
    retry_failed: bool,
    limit: int,
    as_json: bool,
    wanted: Wanted | None = None,
) -> None:
    """Print the plan of a run, as a table or as JSON."""
    facts, shown = dry_plan(
        settings, retry_failed=retry_failed, limit=limit, wanted=wanted or Wanted()
    )
    if as_json:
        print_json(facts)
    else:
        console.print(shown)


def dry_plan(
    settings: Settings, *, retry_failed: bool, limit: int, wanted: Wanted
) -> tuple[dict[str, Any], RenderableType]:
    """The facts as JSON values, and the same for a person. Reads, and writes nothing but what a
    probe has measured."""
    with scratch_folder() as folder:
        # A plan that removes too much is shown, not refused: showing is what it is asked for.
        options = RunOptions(retry_failed=retry_failed, allow_removals=True)
        check_queries(settings)
        log = RunLog()  # which is silent but where JSON is asked for
        reporter = ProgressReporter(log.see, log.hear)
        planned = plan(settings, options, folder / "plan.parquet", reporter)
        rows = list(read_plan(planned.path))
        calibration = kept_calibration(planned)
        if wanted.probe:
            from pipeline.run.probe import probe  # the stages take a second to import

            with quiet_logs(Path(".sensedex/engines.log")):
                probed = probe(settings, planned, folder, wanted.say)
            calibration = merged(probed, calibration)
            keep_calibration(planned.state.store, calibration)
    summary = planned.summary
    estimate = expected(settings, planned, calibration, wanted.machines)
    facts = {
        "objects": dict(summary.objects),
        "bytes": dict(summary.bytes),
        "known_media_ms": dict(summary.known_media_ms),
        "not_selected": dict(summary.selection.not_selected),
        "notes": list(summary.notes),
        "recovered": planned.recovered_objects,
        "estimate": None if estimate is None else codec.to_json(estimate),
        "rows": [
            {
                "action": str(row.action),
                "bucket": row.object.bucket,
                "key": row.object.key,
                "bytes": row.object.size_bytes,
                "reason": row.reason,
                "sidecars": [sidecar.key for sidecar in row.sidecars],
            }
            for row in rows
        ],
    }
    written = "What was measured is kept in the state." if wanted.probe else "Nothing was written."
    shown = render_plan(summary, rows, limit)
    parts = [shown, "", *([render_estimate(estimate)] if planned.to_embed else [])]
    return facts, Group(*parts, f"[dim]{written}[/dim]")
