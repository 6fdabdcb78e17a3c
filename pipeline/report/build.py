"""Build the report of a run, and keep it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import codec
from pipeline.estimate.records import Estimate
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter, Stage
from pipeline.records import Action, Status
from pipeline.report.record import OutcomeTotals, RunReport, StageTime
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import ServedRecall
from pipeline.settings import Settings
from pipeline.state.receipts import RunFolder
from pipeline.state.store import Store


def report_of(
    settings: Settings,
    planned: RunPlan,
    totals: OutcomeTotals,
    reporter: ProgressReporter,
    *,
    run: RunFolder | None = None,
    points: int | None = 0,
    known: int = 0,
    search: Sequence[SearchRecall] = (),
    engine: str = "",
    recall: ServedRecall | None = None,
    estimate: Estimate | None = None,
    money: float | None = None,
) -> RunReport:
    """The report of a run, or, without `run`, of one that found nothing to do. The collection has
    `points` live segments (None: it could not be asked), and the state knows of `known`; `engine`
    is what embedded, `recall` what a server finds of what is nearest. `totals` are of the outcomes,
    and gain what the plan alone knows; `estimate` is what was expected, `money` what it cost."""
    # A sidecar is an object of the bucket too, and ends as the media does that it describes.
    objects = planned.summary.objects + planned.summary.sidecars
    totals.add_count(Status.UNCHANGED, objects[Action.UNCHANGED])
    totals.add_count(Status.REMOVED, objects[Action.GONE])
    latest = reporter.latest
    stages = tuple(
        StageTime(
            str(stage),
            round(latest.of(stage).busy_seconds, 4),
            latest.of(stage).objects if stage is Stage.FETCH else latest.of(stage).segments,
            "objects" if stage is Stage.FETCH else "windows",
            latest.of(stage).media_ms / 1000,
        )
        for stage in Stage
        if latest.of(stage).objects
    )
    return RunReport(
        run_id=run.run_id if run else "none: nothing to do",
        sequence=run.sequence if run else planned.state.sequence,
        bucket=settings.source.title,
        prefix=settings.source.prefix,
        collection=settings.index.collection,
        encoder=planned.card.name,
        meaningful=planned.card.meaningful,
        started_at=reporter.started_at,
        wall_seconds=round(reporter.wall_seconds, 3),
        objects_by_status=dict(totals.objects_by_status),
        objects_by_action={str(action): count for action, count in objects.items()},
        segments_by_modality=dict(totals.segments_by_modality),
        segments=totals.segments,
        media_seconds=totals.decoded_ms / 1000,
        bytes_fetched=latest.of(Stage.FETCH).bytes,
        points_in_index=points,
        segments_known=known,
        failures=tuple(totals.failures),
        stages=stages,
        seconds_by_phase={name: round(s, 3) for name, s in reporter.seconds.items()},
        recovered_objects=planned.recovered_objects,
        search=tuple(search),
        engine=str(engine),
        precisions=latest.of(Stage.ENCODE).precisions,
        recall=recall,
        estimate=estimate,
        money=money,
        workers_by_stage={str(stage): many for stage, many in reporter.workers.items()},
    )


def keep_report(store: Store, run: RunFolder, report: RunReport) -> None:
    """Write the report beside the run's receipts."""
    store.create(run.report, codec.to_bytes(report, indent=1))
