"""The modalities that an encoder may have."""

from __future__ import annotations

from enum import StrEnum


class Modality(StrEnum):
    """The six of ImageBind (Girdhar et al., CVPR 2023); a video is `VISION`."""

    VISION = "vision"
    AUDIO = "audio"
    TEXT = "text"
    DEPTH = "depth"
    THERMAL = "thermal"
    IMU = "imu"
