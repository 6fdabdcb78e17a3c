"""A run's progress: its phase, the stages' counts, and the seconds of each phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from encoders.precision import TowerPrecision

COUNT_EVERY_S = 5.0


class Stage(StrEnum):
    """Fetching, the stages of the graph in their order, then the load."""

    FETCH = "fetch"
    DECODE = "decode"
    ENCODE = "encode"
    WRITE = "write"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Counts since the run began. `busy_seconds` is time spent working, summed over workers;
    `precisions` what the encode stage's towers compute in, on every kind of device there is."""

    objects: int = 0
    segments: int = 0
    media_ms: int = 0
    bytes: int = 0
    busy_seconds: float = 0.0
    precisions: tuple[TowerPrecision, ...] = ()

    def plus(self, other: StageProgress) -> StageProgress:
        return StageProgress(
            self.objects + other.objects,
            self.segments + other.segments,
            self.media_ms + other.media_ms,
            self.bytes + other.bytes,
            self.busy_seconds + other.busy_seconds,
            tuple(dict.fromkeys((*self.precisions, *other.precisions))),
        )


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A snapshot. `total_objects` is how many objects the run has to embed; `phase` says in a few
    words what it is doing now ("starting Ray", "embedding", "sweeping")."""

    phase: str
    total_objects: int = 0
    total_shards: int = 0
    stages: Mapping[Stage, StageProgress] = field(default_factory=dict)

    def of(self, stage: Stage) -> StageProgress:
        return self.stages.get(stage, StageProgress())


OnProgress = Callable[[RunProgress], None]
AddProgress = Callable[[Stage, StageProgress], None]


def ignore_progress(_: RunProgress) -> None:
    """For callers that do not look."""


class ProgressReporter:
    """One a run. Steps that run side by side may all tell it things."""

    def __init__(self, on_progress: OnProgress = ignore_progress) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._mark = self._began = self._counted = time.perf_counter()
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds: dict[str, float] = {}
        self.workers: dict[Stage, int] = {}
        self.latest = RunProgress("starting")

    @property
    def wall_seconds(self) -> float:
        return time.perf_counter() - self._began

    def record_phase(self, name: str) -> None:
        """Book the time since the phase before was booked under this phase's name."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._mark
        self._mark = now

    def phase(self, name: str) -> None:
        """Say what is being done now, in a few words."""
        with self._lock:
            self.latest = replace(self.latest, phase=name)
        self._on_progress(self.latest)

    def embedding_began(self) -> None:
        """The decoder and the encoder are there: what took until now was their start."""
        self.record_phase("start the decoder and the encoder")
        self.phase("embedding")

    def count(self, name: str) -> None:
        """As `phase`, for a line that changes with every step: said every few seconds."""
        if time.perf_counter() - self._counted >= COUNT_EVERY_S:
            self._counted = time.perf_counter()
            self.phase(name)

    def set_totals(self, objects: int, shards: int) -> None:
        with self._lock:
            self.latest = replace(self.latest, total_objects=objects, total_shards=shards)
        self._on_progress(self.latest)

    def set_workers(self, workers: Mapping[Stage, int]) -> None:
        """How many work beside one another in each stage; the most that there were count."""
        with self._lock:
            for stage, count in workers.items():
                self.workers[stage] = max(count, self.workers.get(stage, 1))

    def update(self, stages: Mapping[Stage, StageProgress]) -> None:
        """Take the graph's counts so far; what others add (the load) stays."""
        with self._lock:
            self.latest = replace(self.latest, stages={**self.latest.stages, **stages})
        self._on_progress(self.latest)

    def add(self, stage: Stage, more: StageProgress) -> None:
        with self._lock:
            stages = {**self.latest.stages, stage: self.latest.of(stage).plus(more)}
            self.latest = replace(self.latest, stages=stages)
        self._on_progress(self.latest)
