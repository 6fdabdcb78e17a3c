"""A sound file's samples, through the same guarded decoder as everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingsError
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.settings_embedding import DecodeSettings


def load_sound(path: Path, decode: DecodeSettings) -> NDArray[np.int16]:
    """(samples,) of 16 kHz mono. Raises MediaRejected where it is not media, SettingsError where
    there is no sound in it."""
    windows = [item for item in decode_in_child(path, decode) if isinstance(item, Window)]
    pieces = [window.sound for window in windows if window.sound is not None]
    if not pieces:
        raise SettingsError(f"{path} has no sound.", remedy="Leave its pair out.")
    return np.concatenate(pieces)
