"""`sensedex plan`: the plan of a run, shown and thrown away."""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType

from flows.cli.json_output import print_json
from flows.cli.log_format import RunLog
from flows.cli.render import render_plan
from pipeline.errors import SettingsError
from pipeline.local_files import scratch_folder
from pipeline.planning.diff import TO_EMBED, PlanSummary
from pipeline.planning.file import read_plan
from pipeline.planning.plan import plan
from pipeline.progress import ProgressReporter
from pipeline.report.read import read_report
from pipeline.run.preflight import check_queries
from pipeline.run_options import RunOptions
from pipeline.settings import Settings


def show_plan(
    console: Console, settings: Settings, *, retry_failed: bool, limit: int, as_json: bool
) -> None:
    """Print the plan of a run, as a table or as JSON."""
    facts, shown = dry_plan(settings, retry_failed=retry_failed, limit=limit)
    if as_json:
        print_json(facts)
    else:
        console.print(shown)


def dry_plan(
    settings: Settings, *, retry_failed: bool, limit: int
) -> tuple[dict[str, Any], RenderableType]:
    """The facts as JSON values, and the same for a person. Reads, and writes nothing."""
    with scratch_folder() as folder:
        # A plan that removes too much is shown, not refused: showing is what it is asked for.
        options = RunOptions(retry_failed=retry_failed, allow_removals=True)
        check_queries(settings)
        log = RunLog()  # which is silent but where JSON is asked for
        reporter = ProgressReporter(log.see, log.hear)
        planned = plan(settings, options, folder / "plan.parquet", reporter)
        rows = list(read_plan(planned.path))
    summary = planned.summary
    estimate = _estimate_s(settings, summary)
    facts = {
        "objects": dict(summary.objects),
        "bytes": dict(summary.bytes),
        "known_media_ms": dict(summary.known_media_ms),
        "not_selected": dict(summary.selection.not_selected),
        "recovered": planned.recovered_objects,
        "estimated_seconds": estimate,
        "rows": [
            {
                "action": str(row.action),
                "key": row.object.key,
                "bytes": row.object.size_bytes,
                "reason": row.reason,
                "sidecars": [sidecar.key for sidecar in row.sidecars],
            }
            for row in rows
        ],
    }
    return facts, render_plan(summary, rows, limit, estimate)


def _estimate_s(settings: Settings, summary: PlanSummary) -> float | None:
    """From the bytes a second of the last run that embedded anything."""
    try:
        last = read_report(settings)
    except SettingsError:
        return None
    seconds = last.seconds_by_phase.get("embed and load", 0.0)
    if not last.bytes_fetched or not seconds:
        return None
    to_fetch = sum(summary.bytes.get(action, 0) for action in TO_EMBED)
    return round(to_fetch / (last.bytes_fetched / seconds), 1)
