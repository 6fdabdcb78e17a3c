"""An estimate beside what came of it: which figures lay outside their ranges, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.estimate.records import Estimate, Range

MEDIA = "media"
CLOCK = "start to end"


@dataclass(frozen=True, slots=True)
class Actual:
    """What a run took, in the terms of an estimate."""

    media_hours: float
    windows: float
    hours: float
    money: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure: the range in which it should have been, and what it was."""

    name: str
    expected: Range
    actual: float

    @property
    def inside(self) -> bool:
        return self.expected.holds(self.actual)

    @property
    def times_likely(self) -> float | None:
        """How many times what was likely it was; None where nothing was."""
        return self.actual / self.expected.likely if self.expected.likely else None

    @property
    def expected_words(self) -> str:
        say = self._say()
        return f"{say(self.expected.low)} to {say(self.expected.high)}"

    @property
    def actual_words(self) -> str:
        return self._say()(self.actual)

    def _say(self) -> Callable[[float], str]:
        return duration if self.name in (MEDIA, CLOCK) else figure


def compared(estimate: Estimate, actual: Actual) -> tuple[Compared, ...]:
    """The figures of both, in the order in which one leads to the other."""
    rows = [
        Compared(MEDIA, estimate.media_hours, actual.media_hours),
        Compared("windows", estimate.windows, actual.windows),
        Compared(CLOCK, estimate.hours, actual.hours),
    ]
    if estimate.money is not None and actual.money is not None:
        rows.append(Compared(f"money, {estimate.currency}", estimate.money, actual.money))
    return tuple(rows)


def misjudged(estimate: Estimate, actual: Actual) -> str:
    """A sentence on what was off; empty where all figures lay in their ranges."""
    rows = {row.name: row for row in compared(estimate, actual)}
    off = [row for row in rows.values() if not row.inside]
    if not off:
        return ""
    media, windows, hours = rows[MEDIA], rows["windows"], rows[CLOCK]
    if not windows.inside:
        what = "the media" if not media.inside else "the number of windows"
        return f"Misjudged: {what}, {_times(windows)} what was likely ({estimate.calibrated_by})."
    if not media.inside:
        return (
            f"Misjudged: the length of the media, {_times(media)} what was likely "
            f"({estimate.calibrated_by})."
        )
    if not hours.inside:
        return (
            f"Misjudged: the machine's pace. The same work took {_times(hours)} the time that was "
            f"likely ({estimate.calibrated_by})."
        )
    return f"Misjudged: the money, {_times(off[-1])} what was likely."


def _times(row: Compared) -> str:
    times = row.times_likely
    return "more than none, which is" if times is None else f"{times:.1f} times"


def figure(value: float) -> str:
    """Three figures that count, with no exponent: 12,300 and 0.0123."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 5
    return f"{value:.{digits}f}"


def duration(hours: float) -> str:
    """In the unit that a person would say it in."""
    seconds = hours * 3600
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if hours < 3 else f"{figure(hours)} h"
