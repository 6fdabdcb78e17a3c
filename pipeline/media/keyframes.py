"""Which windows of a video its key frames stand for, where not every frame is to be decoded.

A key frame is decoded by itself; any other frame needs all since the last key frame. So a window in
which key frames lie is shown by them: each of its samples by the last one that is not after it, or
by the first one of the window. A window without any is sampled exactly, as all are by default; or
(`keyframes_only`) goes on showing the last key frame before it.
"""

from __future__ import annotations

import bisect
from fractions import Fraction

from pipeline.media.grid import Grid, Ticks


class KeyframeWindows:
    """Key frames by the window that they lie in, in a stream's own ticks. They are noted as packets
    are read, ahead of what is decoded."""

    def __init__(self, grid: Grid, time_base: Fraction, origin_s: Fraction, *, only: bool) -> None:
        self.only = only
        self._ticks = Ticks.of(grid, time_base, origin_s)
        self._per_window = grid.frames_per_window
        # window = (pts * time_base - origin) / length, downwards, in whole numbers
        length_s = grid.step_s * grid.frames_per_window
        slope, shift = time_base / length_s, origin_s / length_s
        self._slope = slope.numerator * shift.denominator
        self._shift = shift.numerator * slope.denominator
        self._divisor = slope.denominator * shift.denominator
        self._stamps: dict[int, list[int]] = {}

    def window_of(self, pts: int) -> int:
        """What lies before the origin belongs to the first window."""
        return max(0, (pts * self._slope - self._shift) // self._divisor)

    def note(self, pts: int) -> None:
        """A key frame was read."""
        bisect.insort(self._stamps.setdefault(self.window_of(pts), []), pts)

    def forget_before(self, window: int) -> None:
        """Those before it are done."""
        for done in [index for index in self._stamps if index < window]:
            del self._stamps[done]

    def holds(self, pts: int) -> bool:
        """Whether this is a key frame that was noted."""
        return pts in self._stamps.get(self.window_of(pts), ())

    def stand_for(self, window: int) -> bool:
        """Whether key frames lie in the window, as far as is known."""
        return window in self._stamps

    def stands_for_a_sample(self, pts: int) -> bool:
        """Whether this key frame is shown: by a sample of its window, or after that window."""
        window = self.window_of(pts)
        stamps = self._stamps.get(window, [])
        place = bisect.bisect_left(stamps, pts)
        if place >= len(stamps) - 1:
            return True  # the last one of its window may be all that the next window has
        begin = self._ticks.samples_before(pts) if place else window * self._per_window
        return self._ticks.samples_before(stamps[place + 1]) > begin

    def stand_alone_at(self, pts: int) -> bool:
        """Whether no frame but key frames is needed in the window of `pts`."""
        return self.only or self.stand_for(self.window_of(pts))

    def all_stood_for(self, first: int, end: int) -> bool:
        """Whether no sample from `first` up to `end` needs a frame that is no key frame."""
        return self.only or all(
            self.stand_for(window)
            for window in range(first // self._per_window, -(-end // self._per_window))
        )
