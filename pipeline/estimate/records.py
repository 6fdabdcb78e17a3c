"""Records of an estimate: ranges, what they were made by, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.estimate.work import CostSample


@dataclass(frozen=True, slots=True)
class Range:
    """In nine of ten runs the figure should lie between `low` and `high`."""

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.likely <= self.high:
            raise ValueError(f"no range: {self.low}, {self.likely}, {self.high}")

    def holds(self, figure: float) -> bool:
        return self.low <= figure <= self.high

    def plus(self, more: float) -> Range:
        return Range(self.low + more, self.likely + more, self.high + more)

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class TypeCost:
    """What objects of a media type took: samples of them; the encoder's time for a window; and how
    much of the stages' time went on at once, so that so many seconds of work were done in one."""

    samples: tuple[CostSample, ...]
    encode_s_per_window: float
    work_per_second: float

    def __post_init__(self) -> None:
        if self.work_per_second <= 0:
            raise ValueError("work that takes for ever cannot be estimated")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What estimates are made by. `source` says in a few words what measured it; `recipe` is the
    digest of the recipe that it holds for: another encoder has another cost. `cores` and `gpus` are
    those that it was measured on; `start_s` passes before anything is decoded."""

    source: str
    recipe: str
    cores: int
    gpus: int
    start_s: float
    types: Mapping[str, TypeCost] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is going to take. `hours` are the clock's; `cpu_hours` and `gpu_hours` those for
    which the machines are there, whether they are busy or not; `money` is None where the settings
    name no price, and `stored_bytes` are those of the vectors."""

    calibrated_by: str
    objects: int
    size_bytes: int
    requests: int
    media_hours: Range
    windows: Range
    hours: Range
    cpu_hours: Range
    gpu_hours: Range
    stored_bytes: Range
    money: Range | None = None
    currency: str = ""
