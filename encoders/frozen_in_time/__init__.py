"""Frozen in Time: video, image and text in one space (Bain et al., ICCV 2021)."""

from encoders.frozen_in_time.config import BASE, TINY, FrozenInTimeConfig, TextConfig
from encoders.frozen_in_time.model import FrozenInTime

__all__ = ["BASE", "TINY", "FrozenInTime", "FrozenInTimeConfig", "TextConfig"]
