"""Chains of filters that turn a native frame into 224x224, upright RGB, for both decoders.

The short side of the picture as displayed is scaled to 224 (bicubic, antialiased by libswscale's
own widening of the kernel), then the centre is cut out; the long side is rounded down, as the
reference's preprocessing does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from pipeline.media.window import FRAME_PX

FilterStep = tuple[str, dict[str, str]]

LONGEST_ASPECT = 64
"""A longer strip is squeezed to this, or scaling it would take any amount of memory."""
SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirror left and right first, then turn clockwise by 0, 90, 180 or 270 degrees."""

    clockwise_degrees: int = 0
    mirrored: bool = False

    @classmethod
    def of_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """From the nine entries of a display matrix (ISO 14496-12, 8.3.2), turned to the nearest
        quarter; an all-zero matrix says nothing."""
        a, b, _, c, d = matrix[:5]
        if not (a or b) or not (c or d):
            return cls()
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        degrees = math.degrees(math.atan2(b, a))
        return cls(round(degrees / 90) % 4 * 90, mirrored)

    @property
    def on_its_side(self) -> bool:
        return self.clockwise_degrees in (90, 270)


@dataclass(frozen=True, slots=True)
class FrameChain:
    """The scaled size of the stored (not yet turned) frame, and how it is turned."""

    scaled_width: int
    scaled_height: int
    orientation: Orientation

    @classmethod
    def of(
        cls, width: int, height: int, pixel_aspect: Fraction, orientation: Orientation
    ) -> FrameChain:
        """From the stored size in pixels and the width of a pixel over its height."""
        if width <= 0 or height <= 0:
            raise ValueError(f"a frame of {width}x{height}")
        aspect = Fraction(width, height) * (pixel_aspect if pixel_aspect > 0 else 1)
        long_side = int(
            FRAME_PX * min(aspect if aspect > 1 else 1 / aspect, Fraction(LONGEST_ASPECT))
        )
        if aspect < 1:
            return cls(FRAME_PX, long_side, orientation)
        return cls(long_side, FRAME_PX, orientation)

    def steps(self) -> list[FilterStep]:
        """Filters by name and options."""
        left = round((self.scaled_width - FRAME_PX) / 2)
        top = round((self.scaled_height - FRAME_PX) / 2)
        steps: list[FilterStep] = [
            (
                "scale",
                {
                    "w": str(self.scaled_width),
                    "h": str(self.scaled_height),
                    "flags": SCALE_FLAGS,
                },
            ),
            ("format", {"pix_fmts": "rgb24"}),
            ("crop", {"w": str(FRAME_PX), "h": str(FRAME_PX), "x": str(left), "y": str(top)}),
        ]
        if self.orientation.mirrored:
            steps.append(("hflip", {}))
        turn = self.orientation.clockwise_degrees
        if turn == 180:
            steps += [("hflip", {}), ("vflip", {})]
        elif turn:
            steps.append(("transpose", {"dir": "clock" if turn == 90 else "cclock"}))
        return steps


_MOST_KNOWN_CHANNELS = 8


def sound_steps(origin_s: Fraction, channels: int) -> list[FilterStep]:
    """16 kHz mono float from the origin on: silence before the first sample and in gaps of more
    than 0.1 s, what lies before the origin cut off. Mono is the mean of the channels."""
    mixed: list[FilterStep] = []
    if channels > _MOST_KNOWN_CHANNELS:  # the resampler knows how to mix named layouts only
        terms = "+".join(f"{1 / channels!r}*c{number}" for number in range(channels))
        mixed.append(("pan", {"args": f"mono|c0={terms}"}))
    return [
        *mixed,
        ("asetpts", {"expr": f"PTS-({origin_s.numerator}/{origin_s.denominator})/TB"}),
        ("aresample", {"sample_rate": "16000", "async": "1", "first_pts": "0",
                       "rematrix_maxval": "1.0"}),
        ("aformat", {"sample_fmts": "flt", "channel_layouts": "mono"}),
    ]  # fmt: skip
