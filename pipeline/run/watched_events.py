"""Who looks on at the process that serves a queue of events, by its settings.

Each try of a batch has a notice board and a trace of its own, as a run has; the metrics are those
of all of them, since the process goes on where a run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.metrics.traces import RunTrace, no_exemplar, traces_wanted, tracing
from pipeline.progress import OnProgress, ProgressReporter, ignore_progress
from pipeline.run.observers import errors_told
from pipeline.run_events import OnEvent, RunEvent, TraceBegun, Warned
from pipeline.settings import Settings

BeginTrace = Callable[[str], RunTrace]

if TYPE_CHECKING:
    from pipeline.metrics.events_collector import EventsCollector


class EventsWatch:
    """`on_progress` and `on_event` are told of each batch, after the metrics and the traces."""

    def __init__(self, on_progress: OnProgress, on_event: OnEvent) -> None:
        self._on_progress = on_progress
        self._on_event = on_event
        self._begin_trace: BeginTrace | None = None
        self._trace: RunTrace | None = None
        self._metrics: EventsCollector | None = None

    def seen_by(self, begin_trace: BeginTrace | None, metrics: EventsCollector | None) -> None:
        """Before the first event run."""
        self._begin_trace, self._metrics = begin_trace, metrics

    def exemplar(self) -> Mapping[str, str]:
        """The labels by which a measurement names the trace of the event run at work, or of the
        last one."""
        return no_exemplar() if self._trace is None else self._trace.exemplar()

    def tell(self, event: RunEvent) -> None:
        """Something has happened, once, that is of no one event run."""
        if self._metrics is not None:
            self._metrics.hear(event)
        self._on_event(event)

    @contextmanager
    def event_run(self) -> Iterator[ProgressReporter]:
        """The notice board of one event run. One that ends by an error is told of here; that it is
        whole, it says itself."""
        reporter = ProgressReporter(self._on_progress, self._on_event)
        with ExitStack() as watching:
            if self._begin_trace is not None:
                self._trace = self._begin_trace("event run")
                watching.callback(self._trace.end)
            if self._metrics is not None:
                self._metrics.next_run()
                reporter.observe(self._metrics.see, self._metrics.hear)
            if self._trace is not None:
                reporter.observe(ignore_progress, self._trace.hear)
                reporter.tell(TraceBegun(self._trace.trace_id))
            with errors_told(reporter):
                yield reporter


@contextmanager
def watched_events(
    settings: Settings,
    on_progress: OnProgress,
    on_event: OnEvent,
    say: Callable[[str], None],
) -> Iterator[EventsWatch]:
    """While the queue is served. `say` is told, in a sentence, of a way out that fails."""

    def warn(code: str, message: str) -> None:
        on_event(Warned(code, message))
        say(f"{message}.")

    watch = EventsWatch(on_progress, on_event)
    begin_trace, metrics = None, None
    with ExitStack() as ways:
        if traces_wanted(settings.metrics):
            begin_trace = ways.enter_context(tracing(settings.metrics, warn))
        if settings.metrics.events_wanted:
            from pipeline.metrics.publish import published_events

            collection = settings.index.collection
            metrics = ways.enter_context(
                published_events(settings.metrics, collection, warn, watch.exemplar)
            )
        watch.seen_by(begin_trace, metrics)
        yield watch
