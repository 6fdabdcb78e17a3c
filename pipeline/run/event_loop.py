"""Events from a queue, batch by batch: gathered, made searchable, then deleted from the queue.

What cannot be done now (the store or the index is away, another event run is at work) is tried
again with the same batch, whose messages stay hidden meanwhile: given back and received again they
would count as failed deliveries, and a queue moves those to its dead letters.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.errors import LeaseHeld, SettingsError, Transient
from pipeline.events.batch import EventBatch, EventQueue
from pipeline.places import is_access_point
from pipeline.planning.named import NamedObjects
from pipeline.planning.plan import check_source_and_encoders
from pipeline.progress import OnProgress, ignore_progress
from pipeline.run.event_run import EventRunDone, EventRuns
from pipeline.run.watched_events import EventsWatch, watched_events
from pipeline.run_events import (
    NotificationsDone,
    NotificationsRead,
    OnEvent,
    StepRetried,
    ignore_event,
)
from pipeline.s3.queue import MAX_WAIT_S, Queue
from pipeline.settings import Settings
from pipeline.source.source import open_source
from pipeline.state.lease import EVENTS_LEASE, LEASE, Lease, is_free, read_lease
from pipeline.state.store import Store, open_store

RETRY_DELAYS_S = (2.0, 10.0, 30.0)
SERVE_AGAIN_S = 30.0
DRAIN_WAIT_S = 2


class Until(StrEnum):
    """When to end: never, when the queue has given nothing more, or after one batch."""

    STOPPED = "stopped"
    EMPTY = "empty"
    ONE_BATCH = "one batch"


@dataclass(slots=True)
class EventsReport:
    """Sums over batches. `elsewhere` counts events of other buckets or prefixes, `unreadable`
    messages that were left, `again` objects whose failure may pass, and whose messages come once
    more."""

    batches: int = 0
    messages: int = 0
    events: int = 0
    elsewhere: int = 0
    unreadable: int = 0
    again: int = 0
    segments: int = 0
    objects_by_action: Counter[str] = field(default_factory=Counter)
    objects_by_status: Counter[str] = field(default_factory=Counter)
    wall_seconds: float = 0.0

    def add(self, batch: EventBatch, done: EventRunDone) -> None:
        self.batches += 1
        self.messages += len(batch.messages)
        self.events += batch.events
        self.again += len(done.again)
        self.segments += done.segments
        self.objects_by_action.update(done.objects_by_action)
        self.objects_by_status.update(done.objects_by_status)


def run_events(
    settings: Settings,
    until: Until = Until.STOPPED,
    on_progress: OnProgress = ignore_progress,
    *,
    on_event: OnEvent = ignore_event,
    say: Callable[[str], None] = lambda _: None,
    wait: Callable[[float], None] = time.sleep,
) -> EventsReport:
    """Serve the queue that the settings name. `say` is told, in a sentence, of each batch and of
    each wait; `on_progress` and `on_event` what happens in a batch, after the metrics of the
    settings.

    Raises SettingsError where no queue or no bucket is named, QueueUnavailable, QueueRefused, and
    what `EventRuns.run` raises: at once what is permanent, after some tries what may pass. Until
    stopped, that is waited for.
    """
    queue = _queue_of(settings)
    check_source_and_encoders(settings)
    store = open_store(settings.state.location, settings.source)
    source = open_source(settings.source)
    source.check()
    queue.check()
    events = EventQueue(queue, settings.source, settings.events, say)
    runs = EventRuns(settings, store, source)
    report, began = EventsReport(), time.perf_counter()
    with watched_events(settings, on_progress, on_event, say) as watch:
        while True:
            try:
                batch = _one_batch(settings, store, events, runs, report, until, watch, say, wait)
            except Transient as error:
                if until is not Until.STOPPED or not error.retryable:
                    raise
                say(f"{error} Again in {SERVE_AGAIN_S:g} s.")
                wait(SERVE_AGAIN_S)
                continue
            report.wall_seconds = round(time.perf_counter() - began, 3)
            if until is Until.ONE_BATCH or (until is Until.EMPTY and _is_empty(batch)):
                return report


def _one_batch(
    settings: Settings,
    store: Store,
    events: EventQueue,
    runs: EventRuns,
    report: EventsReport,
    until: Until,
    watch: EventsWatch,
    say: Callable[[str], None],
    wait: Callable[[float], None],
) -> EventBatch:
    check_writers(settings, store)  # before a message is received, which counts it
    batch = events.gather(DRAIN_WAIT_S if until is Until.EMPTY else MAX_WAIT_S)
    report.elsewhere += batch.elsewhere
    report.unreadable += batch.unreadable
    watch.tell(NotificationsRead(len(batch.messages), batch.oldest))
    if not batch.messages:
        watch.tell(NotificationsDone({"unreadable": batch.unreadable}))
        return batch
    began = time.perf_counter()
    named = NamedObjects(batch.places, batch.restored)
    with events.hidden(batch):
        try:
            done = _tried(runs, named, watch, say, wait) if named.places else EventRunDone({})
        except BaseException:
            events.give_back(batch)  # they are as old as they were, and come again
            raise
        waited = batch.waited(done.settled, time.time())
        deleted = events.finish(batch, done.again)
    left = {"again": len(batch.messages) - deleted, "unreadable": batch.unreadable}
    watch.tell(NotificationsDone({"done": deleted, **left}, waited))
    report.add(batch, done)
    counts = ", ".join(f"{count} {name}" for name, count in done.objects_by_status.items())
    say(
        f"{len(batch.messages)} messages, {len(named.places)} objects: {counts or 'nothing to do'} "
        f"({time.perf_counter() - began:.1f} s)"
    )
    return batch


def _tried(
    runs: EventRuns,
    named: NamedObjects,
    watch: EventsWatch,
    say: Callable[[str], None],
    wait: Callable[[float], None],
) -> EventRunDone:
    for delay_s in RETRY_DELAYS_S:
        try:
            with watch.event_run() as reporter:
                return runs.run(named, reporter)
        except Transient as error:
            # A lease that was lost is no reason to give up: the next try takes another.
            if not error.retryable and not isinstance(error, LeaseHeld):
                raise
            reporter.retried(StepRetried("events", error.code, error.message))
            reporter.phase(f"again in {delay_s:g} s")
            say(f"{error.message} Again in {delay_s:g} s.")
            wait(delay_s)
    with watch.event_run() as reporter:
        return runs.run(named, reporter)


def check_writers(settings: Settings, store: Store) -> None:
    """Raises LeaseHeld where no batch could be written now: another event run is at work, or the
    index is a folder, which one process at a time can open, and a run has it."""
    other = read_lease(store, EVENTS_LEASE)
    if other is not None and not is_free(other):
        raise _held(other, "One event run is at work at a time: wait for its batch to end.")
    run = read_lease(store, LEASE)
    if settings.index.url is None and run is not None and not is_free(run):
        raise _held(
            run,
            "The index is a folder, which one process at a time can open; events stay in the "
            "queue. A Qdrant server (index.url) takes both at once.",
        )


def _held(lease: Lease, remedy: str) -> LeaseHeld:
    return LeaseHeld(f"Run {lease.run_id} on {lease.holder} is at work.", remedy=remedy)


def _is_empty(batch: EventBatch) -> bool:
    return not batch.messages and not batch.unreadable


def _queue_of(settings: Settings) -> Queue:
    if settings.events.queue_url is None:
        raise SettingsError(
            "Setting events.queue_url: no queue is named.",
            remedy="Name the SQS queue that the bucket's notifications go to (docs/events.md).",
        )
    if settings.source.folder is not None:
        raise SettingsError(
            "Setting source.folder: a folder sends no events.",
            remedy="Name a bucket, or let `sensedex run` look at the folder as often as you like.",
        )
    if settings.source.manifest or settings.source.inventory:
        named = "manifest" if settings.source.manifest else "inventory"
        raise SettingsError(
            f"Setting source.{named}: events go by what buckets hold now, of which a file says "
            "nothing, and a run by that file would take back what events have brought.",
            remedy=f"Name buckets by source.bucket or source.places, and no source.{named}.",
        )
    for scope in settings.source.scopes:
        if is_access_point(scope.bucket):
            raise SettingsError(
                f"Setting source.places: events name a bucket, never its access point "
                f"{scope.bucket!r}: all of them would be taken for another bucket's.",
                remedy="Name the bucket itself.",
            )
    return Queue(settings.events.queue_url, settings.source)
