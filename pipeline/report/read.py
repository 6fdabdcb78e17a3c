"""Read what runs left: the status by the state, the failures, a run's report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pipeline import codec
from pipeline.errors import SettingsError, StateCorrupt
from pipeline.report.history import RUNS_AT_MOST
from pipeline.report.pace import decode_share_of
from pipeline.report.record import FailureRow, RunReport
from pipeline.report.running import RunningRun, RunningState, read_running, read_running_events
from pipeline.settings import Settings
from pipeline.state.lease import EVENTS_LEASE, LEASE, read_lease
from pipeline.state.objects import CurrentState, StateRow, read_state
from pipeline.state.receipts import RUNS, RunFolder, unfinished_runs
from pipeline.state.store import Store, open_store


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
    running: RunningRun | None = None
    running_events: RunningRun | None = None


def read_status(settings: Settings) -> RunStatus:
    """Raises StateCorrupt, StoreUnavailable."""
    store = open_store(settings.state.location, settings.source)
    state = read_state(store)
    leases = [read_lease(store, file) for file in (LEASE, EVENTS_LEASE)]
    holders = [lease.holder for lease in leases if lease and lease.expires_at > 0]
    unfinished = unfinished_runs(store, state.sequence, state.in_increments())
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
        ", ".join(holders) or None,
        len(unfinished),
        read_running(store),
        read_running_events(store),
    )


def read_running_run(settings: Settings) -> RunningRun | None:
    """The part of the status that changes while a run goes on: the whole run, or the event run
    where that alone is at work. Raises as `read_status` does."""
    store = open_store(settings.state.location, settings.source)
    run = read_running(store)
    if run is None or run.state is not RunningState.RUNNING:
        beside = read_running_events(store)
        if beside is not None and beside.state is RunningState.RUNNING:
            return beside
    return run


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
    """The report of a run, or of the last one that has one. Raises SettingsError, StateCorrupt."""
    store = open_store(settings.state.location, settings.source)
    names = [name for name in store.list(RUNS) if name.endswith("/report.json")]
    if run_id is not None:
        names = [name for name in names if name.split("/")[1].endswith(run_id)]
    if not names:
        raise SettingsError(
            f"There is no report {'of run ' + run_id if run_id else 'yet'} in {store.location}.",
            remedy="`sensedex run` makes one; `sensedex status` names the last run.",
        )
    return _report_at(store, max(names))


def read_reports(settings: Settings, limit: int) -> tuple[RunReport, ...]:
    """The last reports, the newest first; one that cannot be read is left out. Raises
    StoreUnavailable."""
    store = open_store(settings.state.location, settings.source)
    names = sorted(name for name in store.list(RUNS) if name.endswith("/report.json"))
    found = []
    for name in reversed(names[-limit:]):
        with suppress(StateCorrupt):
            found.append(_report_at(store, name))
    return tuple(found)


def read_earlier(settings: Settings, report: RunReport) -> tuple[RunReport, ...]:
    """The reports of the runs before, in their order, the last of them; one that cannot be read is
    left out."""
    store = open_store(settings.state.location, settings.source)
    own = RunFolder(report.sequence, report.run_id).report
    names = sorted(n for n in store.list(RUNS) if n.endswith("/report.json") and n < own)
    found = []
    for name in names[1 - RUNS_AT_MOST :]:
        with suppress(StateCorrupt):
            found.append(_report_at(store, name))
    return tuple(found)


def _report_at(store: Store, name: str) -> RunReport:
    found = store.read(name)
    assert found is not None
    try:
        return codec.from_bytes(RunReport, found.data)
    except ValueError as error:
        raise StateCorrupt(
            f"{name} in {store.location} is not a report: {error}.",
            remedy="`sensedex report --run` shows another run's; the state is not touched by it.",
        ) from error


def last_decode_share(state: CurrentState, settings: Settings) -> float | None:
    """Decoding's part of the work of decoding and encoding, in the run that wrote `state`; None
    where there was none, its report says nothing of it, or is of another encoder."""
    if state.sequence == 0:
        return None
    found = state.store.read(RunFolder(state.sequence, state.run_id).report)
    if found is None:
        return None
    try:
        report = codec.from_bytes(RunReport, found.data)
    except ValueError:  # `sensedex report` says so; a run does not need it
        return None
    return decode_share_of(report) if report.encoder == settings.encode.encoder else None
