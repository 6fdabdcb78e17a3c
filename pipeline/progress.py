"""A run's progress: its phase, the stages' counts, and the seconds of each phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from encoders.precision import TowerPrecision
from pipeline.run_events import (
    OnEvent,
    PhaseEnded,
    RunEvent,
    ShardCommitted,
    ShardLoaded,
    StepRetried,
    Warned,
    ignore_event,
)

COUNT_EVERY_S = 5.0
K = TypeVar("K", bound=str)


class Stage(StrEnum):
    """Fetching, the stages of the graph in their order, then the load."""

    FETCH = "fetch"
    DECODE = "decode"
    ENCODE = "encode"
    WRITE = "write"
    LOAD = "load"


class ShardState(StrEnum):
    """How far a shard has come. `recovered`: committed by a run that was stopped."""

    PLANNED = "planned"
    RECOVERED = "recovered"
    COMMITTED = "committed"
    LOADED = "loaded"


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
    words what it is doing now ("starting Ray", "embedding", "sweeping"). `recovered_objects` are
    those of a stopped run's shards, which are loaded alone, and only once they are taken over.

    `objects_by_status` counts what has ended so far, with its sidecars; `shards` how many are
    planned, recovered, committed and loaded; `retries` the steps that were tried again, by the code
    of the error. `waiting_since` is when the oldest object that the plan found new or changed was
    put into the bucket (ISO 8601 in UTC), empty where none is."""

    phase: str
    total_objects: int = 0
    total_shards: int = 0
    recovered_objects: int = 0
    stages: Mapping[Stage, StageProgress] = field(default_factory=dict)
    workers: Mapping[Stage, int] = field(default_factory=dict)
    objects_by_status: Mapping[str, int] = field(default_factory=dict)
    shards: Mapping[ShardState, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    waiting_since: str = ""

    def of(self, stage: Stage) -> StageProgress:
        return self.stages.get(stage, StageProgress())

    def total_of(self, stage: Stage) -> int:
        """Objects that come through the stage, as far as is known."""
        return self.total_objects + (self.recovered_objects if stage is Stage.LOAD else 0)

    def waiting_for(self, stage: Stage) -> int:
        """Objects that the stage before has done and this one has not: a window's worth of memory
        each, or a file. What the plan has is before the first."""
        order = list(Stage)
        place = order.index(stage)
        before = self.of(order[place - 1]).objects if place else self.total_objects
        return max(0, before - self.of(stage).objects)


OnProgress = Callable[[RunProgress], None]
AddProgress = Callable[[Stage, StageProgress], None]


def ignore_progress(_: RunProgress) -> None:
    """For callers that do not look."""


class ProgressReporter:
    """One a run: its notice board. Steps that run side by side may all tell it things; whoever
    shows, counts or writes them down looks on by `observe`, and nobody else is told."""

    def __init__(
        self, on_progress: OnProgress = ignore_progress, on_event: OnEvent = ignore_event
    ) -> None:
        self._observers: list[tuple[OnProgress, OnEvent]] = [(on_progress, on_event)]
        self._lock = threading.Lock()
        self._mark = self._began = self._counted = time.perf_counter()
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds: dict[str, float] = {}
        self.workers: dict[Stage, int] = {}
        self.latest = RunProgress("starting")

    def observe(self, on_progress: OnProgress, on_event: OnEvent) -> None:
        """Tell these, too, from now on; before those who look on already, and may ask these what
        they know."""
        self._observers = [(on_progress, on_event), *self._observers]

    @property
    def wall_seconds(self) -> float:
        return time.perf_counter() - self._began

    def tell(self, event: RunEvent) -> None:
        """Something has happened, once."""
        for _, on_event in self._observers:
            on_event(event)

    def warn(self, code: str, message: str) -> None:
        """Something that fails no run went wrong: said as a phase is, then the phase goes on."""
        self.tell(Warned(code, message))
        before = self.latest.phase
        self.phase(message)
        self.phase(before)

    def record_phase(self, name: str) -> None:
        """Book the time since the phase before was booked under this phase's name."""
        now = time.perf_counter()
        seconds = now - self._mark
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self._mark = now
        self.tell(PhaseEnded(name, seconds))

    def phase(self, name: str) -> None:
        """Say what is being done now, in a few words."""
        with self._lock:
            self.latest = replace(self.latest, phase=name)
        self._show()

    def embedding_began(self) -> None:
        """The decoder and the encoder are there: what took until now was their start."""
        self.record_phase("start the decoder and the encoder")
        self.phase("embedding")

    def count(self, name: str) -> None:
        """As `phase`, for a line that changes with every step: said every few seconds."""
        if time.perf_counter() - self._counted >= COUNT_EVERY_S:
            self._counted = time.perf_counter()
            self.phase(name)

    def set_totals(self, objects: int, shards: int, waiting_since: str = "") -> None:
        with self._lock:
            self.latest = replace(
                self.latest,
                total_objects=objects,
                total_shards=shards,
                shards={ShardState.PLANNED: shards},
                waiting_since=waiting_since,
            )
        self._show()

    def set_workers(self, workers: Mapping[Stage, int]) -> None:
        """How many work beside one another in each stage; the most that there were count."""
        with self._lock:
            for stage, count in workers.items():
                self.workers[stage] = max(count, self.workers.get(stage, 1))
            self.latest = replace(self.latest, workers=dict(self.workers))

    def update(self, stages: Mapping[Stage, StageProgress]) -> None:
        """Take the graph's counts so far; what others add (the load) stays."""
        with self._lock:
            self.latest = replace(self.latest, stages={**self.latest.stages, **stages})
        self._show()

    def add(self, stage: Stage, more: StageProgress) -> None:
        with self._lock:
            stages = {**self.latest.stages, stage: self.latest.of(stage).plus(more)}
            self.latest = replace(self.latest, stages=stages)
        self._show()

    def committed(self, event: ShardCommitted) -> None:
        """A shard of this run is committed, or one of a stopped run is taken over."""
        state = ShardState.RECOVERED if event.recovered else ShardState.COMMITTED
        with self._lock:
            ended = _plus(self.latest.objects_by_status, event.objects_by_status)
            shards = _plus(self.latest.shards, {state: 1})
            recovered = self.latest.recovered_objects
            if event.recovered:
                recovered += sum(event.objects_by_status.values())
            self.latest = replace(
                self.latest, objects_by_status=ended, shards=shards, recovered_objects=recovered
            )
        self.tell(event)

    def loaded(self, event: ShardLoaded) -> None:
        """A shard can be searched."""
        with self._lock:
            shards = _plus(self.latest.shards, {ShardState.LOADED: 1})
            self.latest = replace(self.latest, shards=shards)
        self.tell(event)

    def retried(self, event: StepRetried) -> None:
        """A step is tried again after an error that may pass."""
        with self._lock:
            retries = _plus(self.latest.retries, {event.code: 1})
            self.latest = replace(self.latest, retries=retries)
        self.tell(event)

    def _show(self) -> None:
        for on_progress, _ in self._observers:
            on_progress(self.latest)


def _plus(counts: Mapping[K, int], more: Mapping[K, int]) -> dict[K, int]:
    names = (*counts, *(name for name in more if name not in counts))
    return {name: counts.get(name, 0) + more.get(name, 0) for name in names}
