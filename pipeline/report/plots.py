"""The report's plots as data: bars on one axis, each place a share of the axis's length.

Pure: numbers in, frozen records out. `templates/bar_plot.svg.j2` draws them; widths are shares, so
that a plot fits any page without its text becoming smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pipeline.records import Status
from pipeline.report.pace import pace_of
from pipeline.report.record import RunReport, StageTime

STEPS_AT_MOST = 5  # six numbers below an axis still stand apart on a phone
SHORTEST_S = 0.0005  # a shorter phase would be written as 0.000 s


class Tone(StrEnum):
    """What a bar's colour says; the page's style has a class for each."""

    PLAIN = "plain"
    GOOD = "good"
    CARE = "care"
    BAD = "bad"
    QUIET = "quiet"


STATUS_TONES: Mapping[str, Tone] = MappingProxyType(
    {
        Status.INDEXED: Tone.GOOD,
        Status.PARTIAL: Tone.CARE,
        Status.REJECTED: Tone.BAD,
        Status.FAILED: Tone.BAD,
        Status.DENIED: Tone.BAD,
        Status.UNCHANGED: Tone.QUIET,
        Status.ARCHIVED: Tone.QUIET,
        Status.MOVED: Tone.QUIET,
        Status.REMOVED: Tone.QUIET,
    }
)
NO_TONES: Mapping[str, Tone] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Bar:
    """`begin_percent` and `length_percent` are of the axis; `value` is the length as text."""

    name: str
    value: str
    begin_percent: float
    length_percent: float
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Tick:
    """A number below the axis."""

    text: str
    percent: float


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Horizontal bars, the first on top. `axis` says what its numbers count, with the unit; `key`
    is the plot's name in the page."""

    key: str
    title: str
    axis: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]

    @property
    def description(self) -> str:
        """What the plot shows, in words: for who hears the page."""
        return f"{self.axis}: " + "; ".join(f"{bar.name} {bar.value}" for bar in self.bars)


def plots_of(report: RunReport) -> tuple[BarPlot, ...]:
    """The plots of a report, in the page's order; one that has nothing to show is left out."""
    pace = pace_of(report)
    plots = (
        count_plot(
            "status", "Objects by status", "objects", report.objects_by_status, STATUS_TONES
        ),
        count_plot("modality", "Segments by modality", "segments", report.segments_by_modality),
        phase_plot("phases", "Where the time went", report.seconds_by_phase),
        stage_plot("stages", "Stages", report.stages, pace.stage if pace else None),
    )
    return tuple(plot for plot in plots if plot.bars)


def count_plot(
    key: str,
    title: str,
    unit: str,
    counts: Mapping[str, int],
    tones: Mapping[str, Tone] = NO_TONES,
) -> BarPlot:
    """The largest count on top."""
    end, ticks = axis_to(max(counts.values(), default=0), whole=True)
    bars = tuple(
        Bar(str(name), f"{count:,}", 0.0, 100 * count / end, tones.get(name, Tone.PLAIN))
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    return BarPlot(key, title, unit, bars, ticks)


def phase_plot(key: str, title: str, seconds: Mapping[str, float]) -> BarPlot:
    """In the order in which the phases came, each beginning where the one before it ended."""
    rows = [(name, length) for name, length in seconds.items() if length >= SHORTEST_S]
    end, ticks = axis_to(sum(length for _, length in rows))
    bars = []
    begin = 0.0
    for name, length in rows:
        bars.append(Bar(name, seconds_text(length), 100 * begin / end, 100 * length / end))
        begin += length
    return BarPlot(key, title, "seconds since the start", tuple(bars), ticks)


def stage_plot(
    key: str, title: str, stages: Sequence[StageTime], pace_setter: str | None
) -> BarPlot:
    """In the order in which data passes them; the one that sets the pace is set apart."""
    longest = max((stage.busy_seconds for stage in stages), default=0.0)
    end, ticks = axis_to(longest)
    bars = tuple(
        Bar(
            stage.name,
            f"{seconds_text(stage.busy_seconds)}, {stage.items_per_second:,.0f} {stage.unit}/s",
            0.0,
            100 * stage.busy_seconds / end,
            Tone.CARE if stage.name == pace_setter else Tone.PLAIN,
        )
        for stage in stages
    )
    return BarPlot(key, title, "busy seconds, summed over workers", bars, ticks)


def axis_to(longest: float, *, whole: bool = False) -> tuple[float, tuple[Tick, ...]]:
    """The end of an axis from 0 that holds `longest`, and its ticks: at 1, 2 or 5 times a power of
    ten apart, and at `whole` numbers alone where things are counted."""
    rough = longest / STEPS_AT_MOST
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * (1 - 1e-9))
    if whole:
        step = max(step, 1.0)
    steps = max(1, math.ceil(longest / step - 1e-9))
    ticks = (Tick(_tick_text(n * step), 100 * n / steps) for n in range(steps + 1))
    return steps * step, tuple(ticks)


def seconds_text(seconds: float) -> str:
    """With as many digits as tell something: `0.004 s`, `0.25 s`, `25.0 s`, `5,400 s`."""
    digits = 0 if seconds >= 100 or not seconds else 1 if seconds >= 1 else 2
    return f"{seconds:,.{3 if 0 < seconds < 0.1 else digits}f} s"


def _tick_text(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(size, 1e4):  # up to four digits are short enough as they are
            return f"{value / size:,.6g}{letter}"
    return f"{value:,.6g}"
