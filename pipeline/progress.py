"""What a run has done so far, as numbers that a screen, a log or an artifact can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from encoders.precision import TowerPrecision


class Stage(StrEnum):
    """The stages of the graph in their order, then the load."""

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


def ignore_progress(_: RunProgress) -> None:
    """For callers that do not look."""
