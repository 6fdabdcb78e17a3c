"""Every metric of a run, by name: type, labels, unit and meaning.

Dashboards and alerts are written against these names, and docs/metrics.md is drawn from them: a
name that changes is a new metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class MetricType(StrEnum):
    """Prometheus's word for it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`buckets` are a histogram's upper bounds in its unit, without the last, which has none."""

    name: str
    type: MetricType
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.startswith("sensedex_"):
            raise ValueError(f"{self.name} is not ours")
        if (self.type is MetricType.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter, and nothing else, ends with _total")
        if (self.type is MetricType.HISTOGRAM) != bool(self.buckets):
            raise ValueError(f"{self.name}: a histogram, and nothing else, has buckets")
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"{self.name}: buckets follow one another")


# From a search of a millisecond in memory to a request that the longest timeout lets through.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# From a batch that begins at once to one behind a film of hours.
WAITS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 900.0, 3600.0)

EVENT_LAG = "sensedex_event_lag_seconds"
EVENT_WAIT = "sensedex_event_to_searchable_seconds"
MESSAGES = "sensedex_event_messages_total"
EVENTS_ALONE = frozenset((EVENT_LAG, EVENT_WAIT, MESSAGES))
EVENTS_LABELS = MappingProxyType({"work": "events"})
"""Which each sample has of a process that serves a queue of events, and none of a whole run."""

_ALL = (
    Metric(
        "sensedex_run_info", MetricType.GAUGE, "",
        "always 1; which run these figures are of, and by which version of sensedex",
        ("run_id", "version"),
    ),
    Metric(
        "sensedex_objects_total", MetricType.COUNTER, "objects",
        "objects by how they ended this run, sidecars with their media; `unchanged` and `removed` "
        "come when the run is whole",
        ("status",),
    ),
    Metric(
        "sensedex_shards_total", MetricType.COUNTER, "shards",
        "shards that are `planned`, `recovered` from a run that was stopped, `committed`, `loaded`",
        ("state",),
    ),
    Metric(
        "sensedex_windows_total", MetricType.COUNTER, "windows",
        "windows of media that the stage has done; `load` counts points", ("stage",),
    ),
    Metric(
        "sensedex_media_seconds_total", MetricType.COUNTER, "seconds",
        "media that the stage has done, in seconds of playing", ("stage",),
    ),
    Metric(
        "sensedex_bytes_total", MetricType.COUNTER, "bytes",
        "what came from the source (`fetch`, with sidecars; of a film of which ranges are enough, "
        "the ranges), size of the objects that were decoded (`decode`), 0 for the other stages",
        ("stage",),
    ),
    Metric(
        "sensedex_stage_busy_seconds_total", MetricType.COUNTER, "seconds",
        "time that the stage's workers worked, summed over them; its rate over "
        "`sensedex_stage_workers` is the share in which they are busy",
        ("stage",),
    ),
    Metric(
        "sensedex_stage_workers", MetricType.GAUGE, "workers",
        "how many work beside one another; a stage that does not say so counts as one", ("stage",),
    ),
    Metric(
        "sensedex_queue_depth", MetricType.GAUGE, "objects",
        "objects that the stage before has done, and this one has not; before `fetch`, what the "
        "plan still has",
        ("stage",),
    ),
    Metric(
        "sensedex_retries_total", MetricType.COUNTER, "tries",
        "steps of the run that were tried again, by the code of the error; docs/cli.md has the "
        "codes",
        ("cause",),
    ),
    Metric(
        "sensedex_upsert_seconds", MetricType.HISTOGRAM, "seconds",
        "how long Qdrant took for a request that writes segments", buckets=SECONDS,
    ),
    Metric(
        "sensedex_search_seconds", MetricType.HISTOGRAM, "seconds",
        "how long a search took that the run measured itself by: labelled ones (`search.queries`), "
        "with the encoding of the question, and those for the recall of a server's index",
        buckets=SECONDS,
    ),
    Metric(
        "sensedex_lease_age_seconds", MetricType.GAUGE, "seconds",
        "time since the run's lease was renewed; above `state.lease_ttl_s` it is lost. Absent "
        "before the lease is taken, and after the run",
    ),
    Metric(
        "sensedex_last_whole_run_timestamp_seconds", MetricType.GAUGE, "seconds since 1970",
        "when a run last did all there was to do; while one goes on, as far as the state or the "
        "textfile knows",
    ),
    Metric(
        "sensedex_bucket_lag_seconds", MetricType.GAUGE, "seconds",
        "how long the oldest object that the plan found new or changed has been waiting in the "
        "bucket; 0 when the run is whole",
    ),
    Metric(
        EVENT_LAG, MetricType.GAUGE, "seconds",
        "how old the oldest event is of the batch that is at work, or is to be tried again; 0 "
        "between batches. What nobody has read yet, the queue knows (SQS: "
        "ApproximateAgeOfOldestMessage)",
    ),
    Metric(
        EVENT_WAIT, MetricType.HISTOGRAM, "seconds",
        "from an event's own time to when its object was searchable, or gone, and that was "
        "committed; of events whose object needed nothing there is none", buckets=WAITS,
    ),
    Metric(
        MESSAGES, MetricType.COUNTER, "messages",
        "messages of the queue: `done` and deleted, left to come `again` since an object's failure "
        "may pass, or left as `unreadable`", ("outcome",),
    ),
)  # fmt: skip
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
