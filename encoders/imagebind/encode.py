"""ImageBind behind the one protocol: raw windows in, unit vectors out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.batches import Take, in_batches
from encoders.card import EncoderCard
from encoders.imagebind.model import ImageBind
from encoders.inputs import check_finite, check_shape, unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.audio import log_mel_windows
from encoders.preprocess.depth import prepare_depth
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.imu import CHANNELS, STEPS
from encoders.preprocess.text import check_words, token_ids
from encoders.preprocess.thermal import prepare_thermal

MOST_FRAMES = 2
MAX_BATCH_SIZE = 64
BATCH_SIZE_PER_CORE = (
    16  # what lies between two layers of a small network has to fit into its cache
)


class ImageBindEncoder:
    """Implements `encoders.protocol.Encoder`. `max_batch` bounds what one forward takes; not given,
    it is what the device is quickest with (docs/performance.md); `exact` towers stay float32."""

    def __init__(
        self,
        model: ImageBind,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int | None = None,
        exact: Collection[Modality] = (),
    ) -> None:
        self.card = card
        self.precisions: tuple[TowerPrecision, ...] = ()
        self.model = model.eval().requires_grad_(False)
        to_dtype(self.model, device, dtype, [part for m in exact for part in _parts(model, m)])
        self._device = device
        self._dtypes = {m: torch.float32 if m in exact else dtype for m in Modality}
        if max_batch is None and device.type == "cpu":
            max_batch = min(BATCH_SIZE_PER_CORE * self._cores, MAX_BATCH_SIZE)
        self._max_batch = MAX_BATCH_SIZE if max_batch is None else max_batch

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        takers: dict[Modality, Take] = {
            m: partial(self._encode_modality, m) for m in self.card.modalities
        }
        takers[Modality.TEXT] = self._words  # sorts and cuts its batches itself
        size = len(batch) if modality is Modality.TEXT else self._max_batch
        return in_batches(self.card, takers, modality, batch, size, self._cores)

    @property
    def _cores(self) -> int:
        return torch.get_num_threads() if self._device.type == "cpu" else 1

    def _words(self, texts: Any) -> Tensor:
        """Equal texts once, and batches of alike length: attention past the end costs and adds
        nothing."""
        check_words(texts)
        unique = list(dict.fromkeys(texts))
        ids = token_ids(unique)
        order = np.argsort(ids.argmax(1), kind="stable")
        rows = torch.empty(len(unique), self.card.dimension, device=self._device)
        for start in range(0, len(unique), self._max_batch):
            part = order[start : start + self._max_batch]
            rows[part] = self._unit(Modality.TEXT, torch.from_numpy(ids[part]).to(self._device))
        number = {text: i for i, text in enumerate(unique)}
        return rows[[number[text] for text in texts]]

    def _encode_modality(self, modality: Modality, batch: Any) -> Tensor:
        return self._unit(modality, self._prepare(modality, np.asarray(batch)))

    def _prepare(self, modality: Modality, batch: NDArray[Any]) -> Tensor:
        """Small integers go to the device; what floats come of them are made there."""
        dtype = self._dtypes[modality]
        if modality is Modality.VISION:
            check_windows(batch, MOST_FRAMES)
            frames = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            return normalize(frames, dtype, side=self.model.config.image_size)
        if modality is Modality.AUDIO:
            return log_mel_windows(batch, self._device).to(dtype)
        if modality is Modality.DEPTH:
            prepared = prepare_depth(batch)
        elif modality is Modality.THERMAL:
            prepared = prepare_thermal(batch)
        else:
            prepared = torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32))
            check_shape("motion", prepared, (None, len(CHANNELS), STEPS))
            check_finite("motion", prepared)
        return prepared.to(self._device, dtype)

    def _unit(self, modality: Modality, batch: Tensor) -> Tensor:
        return unit_length(self.model.tower(modality, batch), self.card.name)


def _parts(model: ImageBind, modality: Modality) -> list[nn.Module]:
    """What one modality's tower is made of; nothing where the network was built without it."""
    if modality not in model.config.towers:
        return []
    towers = (model.modality_preprocessors, model.modality_trunks, model.modality_heads)
    return [part[modality] for part in towers]
