"""The one protocol of encoders: raw windows in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.card import EncoderCard
from encoders.modality import Modality
from encoders.precision import TowerPrecision


class Encoder(Protocol):
    """What the pipeline and the search ask of an encoder.

    `precisions` says what each tower computes in; empty where nobody has said.
    """

    precisions: tuple[TowerPrecision, ...]

    @property
    def card(self) -> EncoderCard: ...

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length, row i for item i of the batch, whatever the batch size.

        vision   uint8 (N, F, 224, 224, 3), RGB; F is 1 for a still, up to `frames_per_clip` of a
                 window of video
        audio    int16 (N, samples), 16 kHz mono, 25 ms or more; ImageBind hears 2.04 s of it
        text     N strings, none of them empty
        depth    float32 (N, H, W), metres; 0 or NaN where nothing was measured
        thermal  uint8, uint16 or float32 (N, H, W), as the camera gave it
        imu      float32 (N, 6, 2000), 5 s: accelerometer in m/s^2, gyroscope in rad/s

        Raises InputError for a batch of another shape, or a modality that is not on the card.
        """
        ...
