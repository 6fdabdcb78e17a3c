"""Shows a run in Prefect's own pages: the plan, the progress, the report."""

from __future__ import annotations

import threading
from contextvars import copy_context
from types import TracebackType
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.away import if_prefect_answers
from pipeline.planning.plan import RunPlan
from pipeline.progress import OnProgress, RunProgress, Stage
from pipeline.report.record import RunReport
from pipeline.served_recall import recall_sentences

PLAN_KEY = "index-plan"
PROGRESS_KEY = "index-progress"
REPORT_KEY = "index-report"
FAILURES_SHOWN = 50
PROGRESS_EVERY_S = 5.0


def publish_plan(planned: RunPlan) -> None:
    """Show the plan in Prefect: a table of objects and bytes by action."""
    summary = planned.summary
    rows = [
        {"action": str(action), "objects": count, "bytes": summary.bytes.get(action, 0)}
        for action, count in sorted(summary.objects.items())
    ]
    rows.append({"action": "recovered", "objects": planned.recovered_objects, "bytes": 0})
    with if_prefect_answers():
        create_table_artifact(
            rows, key=PLAN_KEY, description=f"{planned.to_embed} objects to embed in this run"
        )


def publish_report(report: RunReport) -> None:
    """Show the report in Prefect."""
    with if_prefect_answers():
        create_markdown_artifact(
            report_markdown(report), key=REPORT_KEY, description=f"Run {report.run_id}"
        )


def report_markdown(report: RunReport) -> str:
    """The report as Markdown. Keys are hostile: they stand in code spans, with breaks shown."""
    lines = [
        f"# {report.objects} objects, {report.segments} segments, "
        f"{report.media_seconds:.1f} media-seconds",
        "",
        f"Bucket `{report.bucket}`, collection `{report.collection}`, encoder `{report.encoder}`, "
        f"{report.wall_seconds:.1f} s.",
        "",
        "| status | objects |",
        "| --- | ---: |",
        *(f"| {status} | {count} |" for status, count in sorted(report.objects_by_status.items())),
        "",
        *_search_rows(report),
        *([*map(coded, recall_sentences(report.recall)), ""] if report.recall else ()),
        "| stage | busy s | items | items/s |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {s.name} | {s.busy_seconds:.2f} | {s.items} {s.unit} | {s.items_per_second:.1f} |"
            for s in report.stages
        ),
    ]
    if report.failures:
        lines += ["", "| key | status | code | what | remedy |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {coded(f.key)} | {f.status} | {f.code} | {coded(f.message)} | {coded(f.remedy)} |"
            for f in report.failures[:FAILURES_SHOWN]
        ]
        left = len(report.failures) - FAILURES_SHOWN
        if left > 0:
            lines.append(f"\n{left} more: `sensedex failures`.")
    return "\n".join(lines)


def coded(text: str) -> str:
    """Hostile text in Markdown: breaks and control characters are written out."""
    shown = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return "`" + shown.replace("`", "'").replace("|", "\\|") + "`" if shown else ""


class ProgressArtifact:
    """Keeps a progress artifact up to date while a block runs, from a thread of its own. The block
    is given what a run is to call; `on_progress` is called in turn."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._latest = RunProgress("starting")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._id: UUID | None = None

    def __enter__(self) -> OnProgress:
        # The artifact belongs to the flow's run, which is known by the context alone.
        context = copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._follow), daemon=True, name="progress"
        )
        self._thread.start()
        return self._see

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(timeout=PROGRESS_EVERY_S * 2)
        if kind is None and self._latest.total_objects:
            self._show(100.0)

    def _see(self, progress: RunProgress) -> None:
        self._latest = progress
        self._on_progress(progress)

    def _follow(self) -> None:
        while not self._stop.wait(PROGRESS_EVERY_S):
            progress = self._latest
            if progress.total_objects:
                done = progress.of(Stage.WRITE).objects / progress.total_objects
                self._show(min(100.0, 100.0 * done))

    def _show(self, percent: float) -> None:
        with if_prefect_answers():
            if self._id is not None:
                update_progress_artifact(self._id, progress=percent)
                return
            made = create_progress_artifact(
                percent, key=PROGRESS_KEY, description="objects written"
            )
            self._id = made if isinstance(made, UUID) else None


def _search_rows(report: RunReport) -> list[str]:
    if not report.search:
        return []
    return [
        f"{report.search[0].queries} labelled searches:",
        "",
        "| a right | among the first | recall | 95 % |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {r.what} | {r.k} | {r.share:.2f} | {r.low:.2f} to {r.high:.2f} |"
            for r in report.search
        ),
        "",
    ]
