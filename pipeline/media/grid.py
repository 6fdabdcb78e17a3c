"""The sample grid, in exact arithmetic: which times are sampled, which frame is on screen then.

Window k is [k*W, (k+1)*W); its F samples lie at the midpoints of F equal parts. Over all windows
that is one even grid: sample i is at (i + 1/2) * W/F, counted from the origin of the time line.
The frame on screen at a time is the last one whose timestamp is not after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_PRIMING_S = Fraction(1, 10)


@dataclass(frozen=True, slots=True)
class Grid:
    """Windows of equal length with equally many samples. Raises ValueError."""

    window_ms: int
    frames_per_window: int

    def __post_init__(self) -> None:
        if self.window_ms <= 0 or self.frames_per_window <= 0:
            raise ValueError("a grid needs a window and at least one frame in it")

    @property
    def step_s(self) -> Fraction:
        """Seconds between two samples."""
        return Fraction(self.window_ms, 1000 * self.frames_per_window)

    def sample_s(self, index: int) -> Fraction:
        """Seconds of a sample from the origin."""
        return (2 * index + 1) * self.step_s / 2

    def samples_before(self, time_s: Fraction) -> int:
        """How many samples lie before a time: the index of the first one at or after it."""
        return max(0, _ceil(time_s / self.step_s - Fraction(1, 2)))

    def windows_over(self, end_ms: int) -> int:
        """How many windows it takes to cover [0, end_ms), at least one."""
        return max(1, -(-end_ms // self.window_ms))


@dataclass(frozen=True, slots=True)
class Ticks:
    """The grid in a stream's own ticks, so that a packet costs two integer operations."""

    _scale: int
    _offset: int
    _divisor: int

    @classmethod
    def of(cls, grid: Grid, time_base: Fraction, origin_s: Fraction) -> Ticks:
        # sample i is at or after pts  <=>  i >= (pts * time_base - origin) / step - 1/2
        slope = time_base / grid.step_s
        shift = origin_s / grid.step_s + Fraction(1, 2)
        divisor = slope.denominator * shift.denominator
        return cls(
            slope.numerator * shift.denominator, shift.numerator * slope.denominator, divisor
        )

    def samples_before(self, pts: int) -> int:
        return max(0, -((self._offset - pts * self._scale) // self._divisor))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def milliseconds(time_s: Fraction) -> int:
    """Rounded to the nearest; halves upwards."""
    return int((time_s * 2000 + 1) // 2)


def origin_of(starts_s: Iterable[Fraction]) -> Fraction:
    """Where a time line begins whose streams begin at these times."""
    origin = min(starts_s, default=Fraction(0))
    # A little before zero is a codec's priming, which no player shows.
    return Fraction(0) if -_PRIMING_S <= origin < 0 else origin
