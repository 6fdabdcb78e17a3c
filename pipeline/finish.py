"""What is told after a run: its report, and what the state knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.lease import LEASE, Lease
from pipeline.planning import Planned
from pipeline.progress import Stage
from pipeline.receipts import RUNS
from pipeline.records import Action, ShardReceipt, Status
from pipeline.report import FailureRow, RunReport, SearchRecall, StageTime, Tally
from pipeline.settings import Settings
from pipeline.state import StateRow, read_state
from pipeline.store import open_store
from pipeline.watch import Watch

if TYPE_CHECKING:
    from pipeline.engine import Engine
    from pipeline.run import Run


def report_of(
    settings: Settings,
    planned: Planned,
    receipts: Sequence[ShardReceipt],
    watch: Watch,
    *,
    run: Run | None = None,
    points: int = 0,
    known: int = 0,
    search: Sequence[SearchRecall] = (),
    engine: Engine | None = None,
) -> RunReport:
    """The report of a run, or, without `run`, of one that found nothing to do. The collection has
    `points` live segments, and the state knows of `known`; `engine` is what embedded."""
    tally = Tally()
    for receipt in receipts:
        for outcome in receipt.outcomes:
            own = run is not None and receipt.sequence == run.folder.sequence
            if own or planned.takes_over(receipt, outcome):
                tally.add(outcome)
    # A sidecar is an object of the bucket too, and ends as the media does that it describes.
    objects = planned.summary.objects + planned.summary.sidecars
    tally.add_count(Status.UNCHANGED, objects[Action.UNCHANGED])
    tally.add_count(Status.REMOVED, objects[Action.GONE])
    latest = watch.latest
    decode = latest.of(Stage.DECODE)
    stages = tuple(
        StageTime(
            str(stage),
            round(latest.of(stage).busy_seconds, 4),
            latest.of(stage).segments,
            "windows",
            latest.of(stage).media_ms / 1000,
        )
        for stage in Stage
        if latest.of(stage).objects
    )
    return RunReport(
        run_id=run.folder.run_id if run else "none: nothing to do",
        sequence=run.folder.sequence if run else planned.state.sequence,
        bucket=settings.source.bucket,
        prefix=settings.source.prefix,
        collection=settings.index.collection,
        encoder=planned.card.name,
        meaningful=planned.card.meaningful,
        started_at=watch.started_at,
        wall_seconds=round(watch.wall_seconds, 3),
        objects_by_status=dict(tally.objects_by_status),
        objects_by_action={str(action): count for action, count in objects.items()},
        segments_by_modality=dict(tally.segments_by_modality),
        segments=tally.segments,
        media_seconds=tally.decoded_ms / 1000,
        bytes_fetched=decode.bytes,
        points_in_index=points,
        segments_known=known,
        failures=tuple(tally.failures),
        stages=stages,
        seconds_by_phase={name: round(s, 3) for name, s in watch.seconds.items()},
        recovered_objects=len(planned.taken_over),
        search=tuple(search),
        engine=str(engine or ""),
        precisions=latest.of(Stage.ENCODE).precisions,
    )


def keep_report(run: Run, report: RunReport) -> None:
    run.store.create(run.folder.report, report.to_bytes())


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What the state says; it needs neither the bucket nor Qdrant."""

    location: str
    sequence: int
    run_id: str
    bucket: str
    encoder: str
    collection: str
    objects_by_status: dict[str, int]
    segments: int
    media_seconds: float
    lease_holder: str | None
    unfinished_runs: int


def read_status(settings: Settings) -> RunStatus:
    """Raises StateCorrupt, StoreUnavailable."""
    store = open_store(settings.state.location, settings.source)
    state = read_state(store)
    found = store.read(LEASE)
    lease = Lease.from_bytes(found.data) if found else None
    unfinished = {
        name.split("/")[1]
        for name in store.list(RUNS)
        if int(name.split("/")[1].split("-")[0]) > state.sequence
    }
    return RunStatus(
        store.location,
        state.sequence,
        state.run_id,
        state.bucket,
        state.encoder,
        settings.index.collection,
        {
            name.removeprefix("status."): count
            for name, count in state.totals.items()
            if name.startswith("status.")
        },
        state.totals.get("segments", 0),
        state.totals.get("decoded_ms", 0) / 1000,
        lease.holder if lease and lease.expires_at > 0 else None,
        len(unfinished),
    )


def read_failures(settings: Settings) -> Iterator[FailureRow]:
    """The objects that the state knows to have failed, been rejected, denied or cut short."""
    for row in read_state(open_store(settings.state.location, settings.source)).rows():
        if row.failure is not None:
            yield _failure(row)


def _failure(row: StateRow) -> FailureRow:
    failure = row.failure
    assert failure is not None
    return FailureRow(
        row.key,
        str(row.status),
        failure.stage,
        failure.code,
        failure.retryable,
        failure.message,
        failure.remedy,
    )


def read_report(settings: Settings, run_id: str | None = None) -> RunReport:
    """The report of a run, or of the last one that has one. Raises SettingsError."""
    store = open_store(settings.state.location, settings.source)
    names = [name for name in store.list(RUNS) if name.endswith("/report.json")]
    if run_id is not None:
        names = [name for name in names if name.split("/")[1].endswith(run_id)]
    if not names:
        raise SettingsError(
            f"There is no report {'of run ' + run_id if run_id else 'yet'} in {store.location}.",
            remedy="`sensedex run` makes one; `sensedex status` names the last run.",
        )
    found = store.read(max(names))
    assert found is not None
    return RunReport.from_bytes(found.data)
