"""The records that decoding gives: windows, in order, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Segment, Status

FRAME_PX = 224
SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
MIN_SOUND_MS = 50
"""A shorter piece of sound is not given: no encoder makes anything of it."""
SILENT_PEAK = 1
"""Digital silence, or the dither that a codec lays over it."""


@dataclass(frozen=True, slots=True)
class Window:
    """One segment of one object.

    `frames` is uint8 (F, 224, 224, 3), RGB, upright: F is 1 for a still picture, else
    `frames_per_window`; None where the picture has not begun or has ended.
    `sound` is int16 (samples,), 16 kHz, mono; shorter than the window where the sound ends in it,
    None where less than 50 ms of it is left.
    """

    segment: Segment
    frames: NDArray[np.uint8] | None
    sound: NDArray[np.int16] | None

    def __post_init__(self) -> None:
        if self.frames is None and self.sound is None:
            raise ValueError(f"window {self.segment.index} holds neither picture nor sound")
        if self.frames is not None and self.frames.shape[1:] != (FRAME_PX, FRAME_PX, 3):
            raise ValueError(f"frames have the shape {self.frames.shape}")
        if self.sound is not None and self.sound.ndim != 1:
            raise ValueError(f"sound has the shape {self.sound.shape}")


@dataclass(frozen=True, slots=True)
class DecodeEnd:
    """How decoding ended: INDEXED, or PARTIAL with a `note` that says what is missing.

    `silent` is true where there is sound and no sample of it exceeds SILENT_PEAK.
    """

    status: Status
    decoded_ms: int
    note: str = ""
    silent: bool = False
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status not in (Status.INDEXED, Status.PARTIAL):
            raise ValueError(f"decoding does not end as {self.status}")
        if (self.status is Status.PARTIAL) != bool(self.note):
            raise ValueError("a note says why an object is partial, and only then")
