"""Frozen in Time behind the one protocol: raw windows in, unit vectors out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from torch import Tensor

from encoders.card import EncoderCard
from encoders.device_feed import DeviceFeed
from encoders.frozen_in_time.model import FrozenInTime
from encoders.inputs import unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.text import check_words
from encoders.proof_inputs import fixed_inputs
from encoders.tower import Tensors, Tower, sliced

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
        self._pixels = torch.float32 if Modality.VISION in exact else dtype
        seen = Tower(
            cut=sliced(self._checked_windows),
            prepare=self._clips,
            forward=lambda clips: model.vid_proj(model.video_model(clips)),
            finish=self._unit,
            examples=lambda: fixed_inputs(card, Modality.VISION),
        )
        # No graph: a mask of the library's is looked at on the host.
        read = Tower(
            cut=sliced(self._ids),
            forward=lambda ids, mask: model.reference("text", (ids, mask)),
            finish=self._unit,
        )
        towers = {Modality.VISION: seen, Modality.TEXT: read}
        self.feed = DeviceFeed(card, device, towers, max_batch)

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        return self.feed.encode(modality, batch)

    def _checked_windows(self, windows: Any) -> Tensors:
        check_windows(windows, self._model.config.frames)
        return (torch.from_numpy(np.ascontiguousarray(windows)),)

    def _clips(self, frames: Tensor) -> Tensors:
        pixels = normalize(frames.flatten(0, 1)[:, None], self._pixels, MEAN, STD)
        return (pixels.unflatten(0, frames.shape[:2]),)

    def _ids(self, texts: Any) -> Tensors:
        check_words(texts)
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([one.ids for one in encoded])
        return ids, torch.tensor([one.attention_mask for one in encoded])

    def _unit(self, vectors: Tensor) -> Tensor:
        return unit_length(vectors, self.card.name)
