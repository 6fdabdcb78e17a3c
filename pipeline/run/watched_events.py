"""Who looks on at the process that serves a queue of events, by its settings.

Each try of a batch has a notice board of its own, as a run has; the metrics are those of all of
them, since the process goes on where a run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.progress import OnProgress, ProgressReporter
from pipeline.run.observers import errors_told
from pipeline.run_events import OnEvent, RunEvent, Warned
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.metrics.events_collector import EventsCollector


class EventsWatch:
    """`on_progress` and `on_event` are told of each batch, after the metrics."""

    def __init__(
        self, on_progress: OnProgress, on_event: OnEvent, metrics: EventsCollector | None = None
    ) -> None:
        self._on_progress = on_progress
        self._on_event = on_event
        self._metrics = metrics

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
        if self._metrics is not None:
            self._metrics.next_run()
            reporter.observe(self._metrics.see, self._metrics.hear)
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
    if not settings.metrics.events_wanted:
        yield EventsWatch(on_progress, on_event)
        return
    from pipeline.metrics.publish import published_events

    def warn(code: str, message: str) -> None:
        on_event(Warned(code, message))
        say(f"{message}.")

    with published_events(settings.metrics, settings.index.collection, warn) as metrics:
        yield EventsWatch(on_progress, on_event, metrics)
