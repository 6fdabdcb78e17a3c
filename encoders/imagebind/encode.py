"""ImageBind behind the one protocol: raw windows in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from encoders.card import EncoderCard
from encoders.errors import InputError
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.audio import log_mel_windows
from encoders.preprocess.image import SIZE, normalize
from encoders.preprocess.text import token_ids


class ImageBindEncoder:
    """Implements `encoders.protocol.Encoder`. `max_batch` bounds what one forward takes."""

    def __init__(
        self,
        model: ImageBind,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int = 64,
    ) -> None:
        self.card = card
        self._model = model.eval().requires_grad_(False).to(device=device, dtype=dtype)
        self._device = device
        self._dtype = dtype
        self._max_batch = max_batch

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        if modality not in self.card.modalities:
            raise InputError(
                f"{self.card.name} has no tower for {modality}.",
                remedy=f"It has {', '.join(self.card.modalities)}.",
            )
        if len(batch) == 0:
            return np.empty((0, self.card.dimension), np.float32)
        with torch.inference_mode():
            if modality is Modality.TEXT:
                return self._encode_text(batch)
            prepared = self._prepare(modality, np.asarray(batch))
            vectors = [self._unit(modality, part) for part in prepared.split(self._max_batch)]
            return torch.cat(vectors).cpu().numpy()

    def _encode_text(self, texts: Sequence[str] | NDArray[Any]) -> NDArray[np.float32]:
        """Equal texts once, and batches of alike length: attention past the end costs and adds
        nothing."""
        unique = list(dict.fromkeys(texts))
        ids = token_ids(unique)
        order = np.argsort(ids.argmax(1), kind="stable")
        rows = np.empty((len(unique), self.card.dimension), np.float32)
        for start in range(0, len(unique), self._max_batch):
            part = order[start : start + self._max_batch]
            moved = torch.from_numpy(ids[part]).to(self._device)
            rows[part] = self._unit(Modality.TEXT, moved).cpu().numpy()
        number = {text: i for i, text in enumerate(unique)}
        return rows[[number[text] for text in texts]]

    def _prepare(self, modality: Modality, batch: NDArray[Any]) -> Tensor:
        if modality is Modality.VISION:
            if batch.dtype != np.uint8 or batch.ndim != 5 or batch.shape[2:] != (SIZE, SIZE, 3):
                raise _wrong(batch, "uint8 (N, F, 224, 224, 3)")
            if batch.shape[1] > 2:
                raise _wrong(batch, "one frame or two a window")
            frames = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            return normalize(frames, self._dtype)
        if modality is Modality.AUDIO:
            if batch.dtype != np.int16 or batch.ndim != 2 or batch.shape[1] == 0:
                raise _wrong(batch, "int16 (N, samples)")
            return log_mel_windows(batch).to(self._device, self._dtype)
        raise InputError(f"{modality} cannot be encoded from raw windows yet.")

    def _unit(self, modality: Modality, batch: Tensor) -> Tensor:
        return F.normalize(self._model.tower(modality, batch).float(), dim=-1)


def _wrong(batch: NDArray[Any], wanted: str) -> InputError:
    return InputError(f"A batch is {batch.dtype} {batch.shape}.", remedy=f"Give {wanted}.")
