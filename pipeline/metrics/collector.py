"""The values of the metrics: what a run has told so far, made into Prometheus's families when they
are asked for. It looks on, and the run knows nothing of it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import core
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from pipeline.metrics.table import METRICS, Metric, MetricType
from pipeline.metrics.traces import no_exemplar
from pipeline.progress import RunProgress, Stage
from pipeline.run_events import LeaseTaken, RunEnded, RunEvent, Searched, ShardLoaded

LAST_WHOLE_RUN = "sensedex_last_whole_run_timestamp_seconds"
S = TypeVar("S", bound=str)
Values = Mapping[tuple[str, ...], float]
"""Of which labels, in the order of the table's, there is which value."""


class RunCollector(Collector):
    """Of one run. Told things by several threads, and asked by others.

    `last_whole_run` is when a run was last whole, as far as is known before this one (seconds since
    1970). `exemplar` gives the labels that a measurement of now is to have, those of its trace.
    """

    def __init__(
        self,
        last_whole_run: float | None = None,
        exemplar: Callable[[], Mapping[str, str]] = no_exemplar,
    ) -> None:
        self._lock = threading.Lock()
        self._progress = RunProgress("starting")
        self._run_id = ""
        self._renewed_at: Callable[[], float] | None = None
        self._last_whole_run = last_whole_run
        self._ended: RunEnded | None = None
        self._highest: dict[tuple[str, tuple[str, ...]], float] = {}
        self._upserts = Histogram("sensedex_upsert_seconds", exemplar)
        self._searches = Histogram("sensedex_search_seconds", exemplar)
        self._histograms = {one.name: one for one in (self._upserts, self._searches)}

    def see(self, progress: RunProgress) -> None:
        """A `pipeline.progress.OnProgress`."""
        self._progress = progress

    def hear(self, event: RunEvent) -> None:
        """A `pipeline.run_events.OnEvent`."""
        with self._lock:
            if isinstance(event, LeaseTaken):
                self._run_id, self._renewed_at = event.run_id, event.renewed_at
                known = (self._last_whole_run, event.last_whole_run)
                self._last_whole_run = max((t for t in known if t is not None), default=None)
            elif isinstance(event, ShardLoaded):
                for seconds in event.upsert_seconds:
                    self._upserts.add(seconds)
            elif isinstance(event, Searched):
                self._searches.add(event.seconds)
            elif isinstance(event, RunEnded):
                self._ended, self._renewed_at = event, None
                if event.whole:
                    self._last_whole_run = time.time()

    @property
    def whole(self) -> bool:
        """Whether this run has done all there was to do."""
        return self._ended is not None and self._ended.whole

    def collect(self) -> Iterator[core.Metric]:
        """All families that have a value, in the order of the table."""
        with self._lock:
            values = self._values()
            for name, metric in METRICS.items():
                if name in self._histograms:
                    yield self._histograms[name].family(metric)
                elif values.get(name):
                    yield self._family(metric, values[name])

    def _shown(self) -> RunProgress:
        """The latest snapshot, and the counts that are known once all is done."""
        if self._ended is not None and self._ended.whole:
            return replace(self._progress, objects_by_status=self._ended.objects_by_status)
        return self._progress

    def _values(self) -> Mapping[str, Values]:
        now, progress = time.time(), self._shown()
        stages = {(str(stage),): progress.of(stage) for stage in Stage}
        renewed_at = self._renewed_at
        return {
            "sensedex_run_info": {(self._run_id, version("sensedex")): 1},
            "sensedex_objects_total": labelled(progress.objects_by_status),
            "sensedex_shards_total": labelled(progress.shards),
            "sensedex_windows_total": {name: s.segments for name, s in stages.items()},
            "sensedex_media_seconds_total": {n: s.media_ms / 1000 for n, s in stages.items()},
            "sensedex_bytes_total": {name: s.bytes for name, s in stages.items()},
            "sensedex_stage_busy_seconds_total": {n: s.busy_seconds for n, s in stages.items()},
            "sensedex_stage_workers": labelled({s: progress.workers.get(s, 1) for s in Stage}),
            "sensedex_queue_depth": labelled({s: progress.waiting_for(s) for s in Stage}),
            "sensedex_retries_total": labelled(progress.retries),
            "sensedex_lease_age_seconds": {} if renewed_at is None else {(): now - renewed_at()},
            LAST_WHOLE_RUN: {} if self._last_whole_run is None else {(): self._last_whole_run},
            "sensedex_bucket_lag_seconds": {(): self._lag_s(now)},
        }

    def _lag_s(self, now: float) -> float:
        since = self._progress.waiting_since
        if self.whole or not since:
            return 0.0
        return max(0.0, now - datetime.fromisoformat(since).timestamp())

    def _family(self, metric: Metric, values: Values) -> core.Metric:
        if metric.type is MetricType.COUNTER:
            counter = core.CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in values.items():
                counter.add_metric(labels, self._risen(metric.name, labels, value))
            return counter
        gauge = core.GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in values.items():
            gauge.add_metric(labels, value)
        return gauge

    def _risen(self, name: str, labels: tuple[str, ...], value: float) -> float:
        """What a lost worker had done is taken back until it is done again; a counter that falls
        would be taken for one that began anew."""
        highest = max(value, self._highest.get((name, labels), 0.0))
        self._highest[name, labels] = highest
        return highest


class Histogram:
    """Counts by bucket, each with its latest exemplar."""

    def __init__(self, name: str, exemplar: Callable[[], Mapping[str, str]] = no_exemplar) -> None:
        self.name = name
        self._bounds = METRICS[name].buckets
        self._exemplar = exemplar
        self._counts = [0] * (len(self._bounds) + 1)
        self._exemplars: list[Exemplar | None] = [None] * len(self._counts)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        place = bisect_left(self._bounds, seconds)
        self._counts[place] += 1
        self._sum += seconds
        if labels := self._exemplar():
            self._exemplars[place] = Exemplar(dict(labels), seconds, time.time())

    def family(self, metric: Metric) -> core.Metric:
        family = core.HistogramMetricFamily(metric.name, metric.meaning, labels=())
        names = [*map(str, self._bounds), "+Inf"]
        so_far = 0
        buckets: list[tuple[str, float, Exemplar | None]] = []
        for name, count, exemplar in zip(names, self._counts, self._exemplars, strict=True):
            so_far += count
            buckets.append((name, so_far, exemplar))
        family.add_metric((), buckets, self._sum)  # type: ignore[arg-type]  # it takes None, too
        return family


def labelled(counts: Mapping[S, float]) -> Values:
    """Of a metric with one label."""
    return {(str(name),): value for name, value in counts.items()}
