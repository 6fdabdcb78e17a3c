"""The values of the metrics of a process that serves a queue of events: sums over its event runs,
and how far it is behind what S3 has told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version

from prometheus_client import core

from pipeline.metrics.collector import LAST_WHOLE_RUN, Histogram, RunCollector, Values, labelled
from pipeline.metrics.table import EVENT_LAG, EVENT_WAIT, EVENTS_LABELS, MESSAGES
from pipeline.metrics.traces import no_exemplar
from pipeline.progress import RunProgress, Stage
from pipeline.run_events import NotificationsDone, NotificationsRead, RunEvent

OF_EVENTS = "events"
"""In place of a run's id: an event run takes seconds, and each would begin series of its own."""


class EventsCollector(RunCollector):
    """Of event runs one after the other. Each sample has the labels that tell it from a whole
    run's, which may be in the same node_exporter."""

    def __init__(self, exemplar: Callable[[], Mapping[str, str]] = no_exemplar) -> None:
        super().__init__(exemplar=exemplar)
        self._before = RunProgress("")
        self._messages: Counter[str] = Counter()
        self._oldest = 0.0
        self._waits = Histogram(EVENT_WAIT, exemplar)
        self._histograms = {self._upserts.name: self._upserts, EVENT_WAIT: self._waits}

    def next_run(self) -> None:
        """What is told from now on is of another event run, or of another try."""
        with self._lock:
            self._before = self._shown()
            self._progress = RunProgress("starting")
            self._ended = None

    def hear(self, event: RunEvent) -> None:
        with self._lock:
            if isinstance(event, NotificationsRead):
                self._oldest = event.oldest
                return
            if isinstance(event, NotificationsDone):
                self._oldest = 0.0
                self._messages.update(event.messages_by_outcome)
                for seconds in event.waited_seconds:
                    self._waits.add(seconds)
                return
        super().hear(event)

    def collect(self) -> Iterator[core.Metric]:
        """All families that have a value; when a run was whole is not for events to say."""
        for family in super().collect():
            if family.name != LAST_WHOLE_RUN:
                samples, family.samples = family.samples, []
                for one in samples:
                    labels = {**one.labels, **EVENTS_LABELS}
                    family.add_sample(one.name, labels, one.value, one.timestamp, one.exemplar)
                yield family

    def _shown(self) -> RunProgress:
        """Objects of an event run that is whole: what one that fails has done is done again."""
        now = super()._shown()
        return _sum(self._before, now if self.whole else replace(now, objects_by_status={}))

    def _values(self) -> Mapping[str, Values]:
        lag_s = max(0.0, time.time() - self._oldest) if self._oldest else 0.0
        # What a run that failed has left undone is the next one's, and waits there.
        waiting = {s: 0 if self._ended else self._progress.waiting_for(s) for s in Stage}
        return {
            **super()._values(),
            "sensedex_run_info": {(OF_EVENTS, version("sensedex")): 1},
            "sensedex_queue_depth": labelled(waiting),
            EVENT_LAG: {(): lag_s},
            MESSAGES: labelled(self._messages),
        }


def _sum(before: RunProgress, now: RunProgress) -> RunProgress:
    """Counts of both; what is no count is of now."""
    stages = {
        stage: before.of(stage).plus(now.of(stage)) for stage in (*before.stages, *now.stages)
    }
    workers = {
        stage: max(before.workers.get(stage, 1), now.workers.get(stage, 1))
        for stage in (*before.workers, *now.workers)
    }
    return replace(
        now,
        total_objects=before.total_objects + now.total_objects,
        total_shards=before.total_shards + now.total_shards,
        recovered_objects=before.recovered_objects + now.recovered_objects,
        stages=stages,
        workers=workers,
        objects_by_status=Counter(before.objects_by_status) + Counter(now.objects_by_status),
        shards=Counter(before.shards) + Counter(now.shards),
        retries=Counter(before.retries) + Counter(now.retries),
    )
