"""Frozen in Time behind the one protocol: raw windows in, unit vectors out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from torch import Tensor

from encoders.batches import in_batches
from encoders.card import EncoderCard
from encoders.frozen_in_time.model import FrozenInTime
from encoders.inputs import unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.text import check_words

# ImageNet's, which the published checkpoints were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_TOKENS = 77


class FrozenInTimeEncoder:
    """Implements `encoders.protocol.Encoder` for vision (1 to 4 frames a window) and text;
    `exact` towers stay float32."""

    def __init__(
        self,
        model: FrozenInTime,
        tokenizer: BertWordPieceTokenizer,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int = 32,
        exact: Collection[Modality] = (),
    ) -> None:
        self.card = card
        self.precisions: tuple[TowerPrecision, ...] = ()
        self._model = model.eval().requires_grad_(False)
        parts = {
            Modality.VISION: [model.video_model, model.vid_proj],
            Modality.TEXT: [model.text_model, model.txt_proj],
        }
        to_dtype(model, device, dtype, [part for m in exact for part in parts[m]])
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._device = device
        self._pixels = torch.float32 if Modality.VISION in exact else dtype
        self._max_batch = max_batch

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        takers = {Modality.VISION: self._videos, Modality.TEXT: self._words}
        return in_batches(self.card, takers, modality, batch, self._max_batch)

    def _videos(self, windows: Any) -> Tensor:
        check_windows(windows, self._model.config.frames)
        frames = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device)
        pixels = normalize(frames.flatten(0, 1)[:, None], self._pixels, MEAN, STD)
        clips = pixels.unflatten(0, windows.shape[:2])
        return unit_length(self._model.reference("video", clips), self.card.name)

    def _words(self, texts: Any) -> Tensor:
        check_words(texts)
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([one.ids for one in encoded], device=self._device)
        mask = torch.tensor([one.attention_mask for one in encoded], device=self._device)
        return unit_length(self._model.reference("text", (ids, mask)), self.card.name)
