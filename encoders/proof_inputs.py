"""A few fixed inputs a modality, on which two precisions are compared: the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.card import EncoderCard
from encoders.modality import Modality

SIDE = 224
SOUND_HZ = 16_000
SECONDS = 2
IMU_STEPS, IMU_HZ = 2_000, 400
# Short, usual, and past the context of every text tower: positions are part of what is compared.
TEXTS = (
    "a dog barks",
    "two people walk along a beach at night while waves break on the rocks",
    " ".join(f"in scene {n} a red car drives past an old stone bridge" for n in range(1, 17)),
)

Batch = NDArray[Any] | list[str]


def fixed_inputs(card: EncoderCard, modality: Modality) -> list[Batch]:
    """Batches as `encode` takes them, two or three items of each kind."""
    noise = np.random.Generator(np.random.PCG64(12))
    if modality is Modality.VISION:
        clips = _pictures(noise, 2, card.frames_per_clip)
        return [clips, _pictures(noise, 2, 1)]
    if modality is Modality.AUDIO:
        return [_sounds(noise)]
    if modality is Modality.TEXT:
        return [list(TEXTS)]
    if modality is Modality.DEPTH:
        return [(0.5 + 9.5 * _smooth(noise, 3)).astype(np.float32)]
    if modality is Modality.THERMAL:
        return [(255 * _smooth(noise, 3)).astype(np.uint8)]
    return [_motion(noise)]


def _smooth(noise: np.random.Generator, pictures: int) -> NDArray[np.float64]:
    """(pictures, 224, 224) in [0, 1]: coarse shapes with edges, and a fine grain over them."""
    coarse = noise.random((pictures, 7, 7)).repeat(SIDE // 7, 1).repeat(SIDE // 7, 2)
    ramp = np.linspace(0, 1, SIDE)
    waves = 0.5 + 0.5 * np.sin(12 * ramp[:, None] + 20 * ramp[None, :])
    grain = noise.random((pictures, SIDE, SIDE))
    return 0.6 * coarse + 0.3 * waves + 0.1 * grain


def _pictures(noise: np.random.Generator, windows: int, frames: int) -> NDArray[np.uint8]:
    """(windows, frames, 224, 224, 3): each frame a little to the side of the one before."""
    planes = np.stack([_smooth(noise, windows) for _ in range(3)], -1)
    moved = np.stack([np.roll(planes, 9 * frame, axis=2) for frame in range(frames)], 1)
    return (255 * moved).astype(np.uint8)


def _sounds(noise: np.random.Generator) -> NDArray[np.int16]:
    """(3, samples): a loud rising tone, a quiet hiss in bursts, a chord that beats."""
    t = np.arange(SECONDS * SOUND_HZ) / SOUND_HZ
    rising = 0.9 * np.sin(2 * np.pi * (200 + 900 * t) * t)
    bursts = 0.05 * noise.standard_normal(len(t)) * (np.sin(2 * np.pi * 3 * t) > 0)
    chord = 0.2 * sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 277.2, 331.0))
    return (32_000 * np.stack([rising, bursts, chord])).clip(-32_768, 32_767).astype(np.int16)


def _motion(noise: np.random.Generator) -> NDArray[np.float32]:
    """(3, 6, 2000): at rest, walking, turned in the hand."""
    t = np.arange(IMU_STEPS) / IMU_HZ
    rows = np.zeros((3, 6, IMU_STEPS))
    rows[:, 2] = 9.81
    rows[1, 2] += 2 * np.sin(2 * np.pi * 1.8 * t)
    rows[1, 0] += np.sin(2 * np.pi * 0.9 * t)
    rows[2, 3:] = np.sin(2 * np.pi * np.array([0.3, 0.5, 0.8])[:, None] * t)
    return (rows + 0.05 * noise.standard_normal(rows.shape)).astype(np.float32)
