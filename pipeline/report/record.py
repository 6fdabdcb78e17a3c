"""The run report as a record: what a run did to every object, and where the time went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from encoders.precision import TowerPrecision
from pipeline.estimate.compare import Actual
from pipeline.estimate.records import Estimate
from pipeline.estimate.work import SampleReservoir, sample_of
from pipeline.records import ObjectOutcome, Status
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import ServedRecall


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One object that did not get through, as a person reads it."""

    key: str
    status: str
    stage: str
    code: str
    retryable: bool
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class StageTime:
    """`busy_seconds` is summed over the stage's workers; `unit` names what `items` counts."""

    name: str
    busy_seconds: float
    items: int
    unit: str
    media_seconds: float = 0.0

    @property
    def items_per_second(self) -> float:
        return self.items / self.busy_seconds if self.busy_seconds else 0.0


@dataclass(frozen=True, slots=True)
class RunReport:
    """Kept as report.json beside the run's plan and receipts. `bytes_fetched` are those that came
    from the source, sidecars with them: of a film of which ranges are enough, the ranges."""

    run_id: str
    sequence: int
    bucket: str
    prefix: str
    collection: str
    encoder: str
    meaningful: bool
    started_at: str
    wall_seconds: float
    objects_by_status: Mapping[str, int]
    objects_by_action: Mapping[str, int]
    segments_by_modality: Mapping[str, int]
    segments: int
    media_seconds: float
    bytes_fetched: int
    points_in_index: int | None
    failures: tuple[FailureRow, ...] = ()
    stages: tuple[StageTime, ...] = ()
    seconds_by_phase: Mapping[str, float] = field(default_factory=dict)
    recovered_objects: int = 0
    search: tuple[SearchRecall, ...] = ()
    segments_known: int = 0
    engine: str = ""
    precisions: tuple[TowerPrecision, ...] = ()
    recall: ServedRecall | None = None
    workers_by_stage: Mapping[str, int] = field(default_factory=dict)
    estimate: Estimate | None = None
    money: float | None = None

    @property
    def segments_missing(self) -> int:
        """Live segments that the state knows of and the collection does not have. Where several
        states share a collection, that of another may hide them; `sensedex verify` sees all. None
        are said to be missing where the collection could not be asked."""
        known = self.segments_known if self.points_in_index is None else self.points_in_index
        return max(0, self.segments_known - known)

    @property
    def objects(self) -> int:
        return sum(self.objects_by_status.values())

    @property
    def actual(self) -> Actual:
        """What it took, to be set beside the estimate."""
        hours = self.wall_seconds / 3600
        return Actual(self.media_seconds / 3600, self.segments, hours, self.money)

    @property
    def media_seconds_per_second(self) -> float:
        embed = self.seconds_by_phase.get("embed and load", 0.0)
        return self.media_seconds / embed if embed else 0.0


@dataclass(slots=True)
class OutcomeTotals:
    """Sums over outcomes, so that a report of 10^6 objects holds only its failures."""

    objects_by_status: Counter[str] = field(default_factory=Counter)
    segments_by_modality: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    decoded_ms: int = 0
    decode_s: float = 0.0
    failures: list[FailureRow] = field(default_factory=list)
    samples: SampleReservoir = field(default_factory=SampleReservoir)

    def add(self, outcome: ObjectOutcome) -> None:
        # A sidecar shares the fate of the object that it describes.
        self.objects_by_status[outcome.status] += 1 + len(outcome.sidecars)
        self.segments_by_modality.update(outcome.segments_by_modality)
        self.segments += outcome.segments
        self.decoded_ms += outcome.decoded_ms
        sample = sample_of(outcome)
        self.decode_s += sample.decode_s
        self.samples.add(sample)
        if outcome.failure is not None:
            self.failures.append(failure_row(outcome))

    def add_count(self, status: Status, objects: int) -> None:
        if objects:
            self.objects_by_status[status] += objects


def failure_row(outcome: ObjectOutcome) -> FailureRow:
    """A row of the report for an object that was rejected or failed."""
    failure = outcome.failure
    if failure is None:
        raise ValueError(f"{outcome.key!r} has no failure to show")
    return FailureRow(
        outcome.key,
        outcome.status,
        failure.stage,
        failure.code,
        failure.retryable,
        failure.message,
        failure.remedy,
    )
