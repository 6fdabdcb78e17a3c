"""Who looks on at a run, by its settings: metrics, traces; and what they are told, made of the
run's own records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from pipeline.errors import SensedexError
from pipeline.metrics.traces import no_exemplar, traced, traces_wanted
from pipeline.progress import OnProgress, ProgressReporter, ignore_progress
from pipeline.records import ObjectOutcome, ShardReceipt
from pipeline.run.watched_steps import code_of
from pipeline.run_events import (
    LeaseTaken,
    ObjectEnded,
    OnEvent,
    RunEnded,
    ShardCommitted,
    TraceBegun,
)
from pipeline.settings import Settings
from pipeline.state.lease import LeaseHandle
from pipeline.state.receipts import RunFolder


@contextmanager
def watched_run(
    settings: Settings, on_progress: OnProgress, on_event: OnEvent
) -> Iterator[ProgressReporter]:
    """The notice board of a run, with everybody who looks on at it. A run that ends by an error is
    told of here; that it is whole, the run says itself."""
    reporter = ProgressReporter(on_progress, on_event)
    with ExitStack() as watching:
        trace = None
        if traces_wanted(settings.metrics):
            trace = watching.enter_context(traced(settings.metrics, reporter.warn))
        if settings.metrics.wanted:
            from pipeline.metrics.publish import published

            exemplar = no_exemplar if trace is None else trace.exemplar
            collection = settings.index.collection
            metrics = watching.enter_context(
                published(settings.metrics, collection, reporter.warn, exemplar)
            )
            reporter.observe(metrics.see, metrics.hear)
        if trace is not None:
            reporter.observe(ignore_progress, trace.hear)
            reporter.tell(TraceBegun(trace.trace_id))
        with errors_told(reporter):
            yield reporter


@contextmanager
def errors_told(reporter: ProgressReporter) -> Iterator[None]:
    """A run that leaves the context by an error has ended by it, and those who look on hear so."""
    try:
        yield
    except BaseException as error:
        message = error.message if isinstance(error, SensedexError) else type(error).__name__
        reporter.tell(RunEnded(code_of(error), message))
        raise


def lease_taken(
    folder: RunFolder, lease: LeaseHandle, settings: Settings, last_run: str
) -> LeaseTaken:
    """What is told of the lease; `last_run` is the id of the run that wrote the state."""
    ttl_s = settings.state.lease_ttl_s
    return LeaseTaken(
        folder.run_id,
        folder.sequence,
        lambda: lease.stored.expires_at - ttl_s,
        _began_at(last_run),
    )


def committed_shard(
    settings: Settings,
    folder: RunFolder,
    receipt: ShardReceipt,
    outcomes: Sequence[ObjectOutcome],
) -> ShardCommitted:
    """What is told of a shard that this run has committed, or takes over: the counts as the report
    has them, with sidecars, and each object that did not get in or was slow."""
    counts: Counter[str] = Counter()
    told = []
    for outcome in outcomes:
        counts[outcome.status] += 1 + len(outcome.sidecars)
        seconds = sum(outcome.seconds_by_stage.values())
        if outcome.failure is not None or seconds >= settings.metrics.slow_object_s:
            told.append(_ended(outcome, seconds))
    return ShardCommitted(
        receipt.shard,
        sum(outcome.segments for outcome in outcomes),
        {str(status): count for status, count in counts.items()},
        tuple(told),
        recovered=receipt.sequence != folder.sequence,
    )


def _ended(outcome: ObjectOutcome, seconds: float) -> ObjectEnded:
    failure = outcome.failure
    if failure is None:
        return ObjectEnded(outcome.key, str(outcome.status), seconds)
    return ObjectEnded(
        outcome.key, str(outcome.status), seconds, failure.code, failure.message, failure.stage
    )


def _began_at(run_id: str) -> float | None:
    """By the name of a run when it began; None for a name that says nothing of it."""
    try:
        began = datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S")
    except ValueError:
        return None
    return began.replace(tzinfo=UTC).timestamp()
