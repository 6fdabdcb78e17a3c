"""Which stretches of a recording are looked at: the reference's few, or every window.

`reference`: evenly spread clips of two seconds, the first at the start and the last at the end, as
ImageBind's published loaders take them (3 of a sound, 5 of a video); their embeddings are averaged
to one for the whole recording, which says what it is, not when.
`windows`: the whole time line cut without overlap, one embedding each: what an index of moments
needs, and what the pipeline does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InputError

Sampling = Literal["reference", "windows"]
CLIP_S = 2
SOUND_CLIPS = 3
VIDEO_CLIPS = 5
VIDEO_CROPS = 3
CLIP_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of time; the end is beyond the recording's where that is shorter than a clip."""

    start_s: Fraction
    end_s: Fraction


def clips_of(
    duration_s: Fraction | float,
    sampling: Sampling,
    *,
    clips: int = SOUND_CLIPS,
    clip_s: Fraction | float = CLIP_S,
) -> tuple[Clip, ...]:
    """The stretches in order; `clips` is read by `reference` alone. Raises InputError."""
    total, length = Fraction(duration_s), Fraction(clip_s)
    if total <= 0 or length <= 0 or clips < 1:
        raise InputError(
            f"{float(total)} s cannot be cut into clips of {float(length)} s, {clips} of them.",
            remedy="Durations and counts must be above nought.",
        )
    if sampling == "windows":
        count = math.ceil(total / length)
        return tuple(Clip(i * length, (i + 1) * length) for i in range(count))
    step = max(total - length, Fraction(0)) / max(clips - 1, 1)
    return tuple(Clip(i * step, i * step + length) for i in range(clips))


def spread(frames: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """(F, ...) to at most that many of them, the middles of equal parts."""
    if len(frames) <= most:
        return frames
    return frames[[(2 * i + 1) * len(frames) // (2 * most) for i in range(most)]]


def frames_of(clip: Clip, fps: Fraction | float, total: int, count: int = CLIP_FRAMES) -> list[int]:
    """Numbers of the frames that stand for a clip: `count`, evenly from its first to its last.

    The reference takes the frames whose number lies in [fps * start, fps * end). Raises InputError
    for a clip in which there is no frame.
    """
    first = math.ceil(Fraction(fps) * clip.start_s)
    last = min(math.ceil(Fraction(fps) * clip.end_s), total) - 1
    if last < first:
        raise InputError(
            f"No frame lies in {float(clip.start_s)} to {float(clip.end_s)} s of {total} frames at "
            f"{float(fps)} a second.",
            remedy="Check the frame rate and the number of frames.",
        )
    if count == 1:
        return [first]
    return [first + (last - first) * i // (count - 1) for i in range(count)]
