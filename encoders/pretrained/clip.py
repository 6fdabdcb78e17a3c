"""CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023) and SigLIP 2 (Tschannen et al., 2025)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from encoders.card import EncoderCard
from encoders.device_feed import DeviceFeed
from encoders.inputs import unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.image import MEAN, STD, check_windows, normalize
from encoders.preprocess.text import check_words
from encoders.pretrained.folder import opened, read_json
from encoders.proof_inputs import fixed_inputs
from encoders.tower import Tensors, Tower, sliced

SIGLIP_TOKENS = 64
# Only CLIP has projections of their own.
PARTS = {
    Modality.VISION: ("vision_model", "visual_projection"),
    Modality.TEXT: ("text_model", "text_projection"),
}


class ClipEncoder:
    """Implements `encoders.protocol.Encoder`; a window of several frames is the mean of them;
    `exact` towers stay float32."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        *,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        max_batch: int = 64,
        exact: Collection[Modality] = (),
    ) -> None:
        self.card = card
        self.precisions: tuple[TowerPrecision, ...] = ()
        network: Any = model
        self._model = network.eval().requires_grad_(False)
        kept = [
            getattr(network, name) for m in exact for name in PARTS[m] if hasattr(network, name)
        ]
        to_dtype(network, device, dtype, kept)
        self._tokenizer = tokenizer
        self._pixels = torch.float32 if Modality.VISION in exact else dtype
        self._mean, self._std = tuple(mean), tuple(std)
        self._kind = model.config.model_type
        seen = Tower(
            cut=sliced(_checked_windows),
            prepare=self._prepared,
            forward=self._frame_vectors,
            finish=self._mean_of_frames,
            examples=self._examples,
        )
        read = Tower(cut=sliced(self._ids), forward=self._words, finish=self._unit)
        towers = {Modality.VISION: seen, Modality.TEXT: read}
        self.feed = DeviceFeed(card, device, towers, max_batch)

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        return self.feed.encode(modality, batch)

    def _examples(self) -> list[Any]:
        """SigLIP 2 makes its table of positions anew from numbers on the host: what no graph can
        do. Nor can it with words, whose masks are looked at there."""
        return fixed_inputs(self.card, Modality.VISION) if self._kind != "siglip2" else []

    def _prepared(self, frames: Tensor) -> Tensors:
        """(N,F,3,side,side), as large as the network takes them."""
        pixels = normalize(frames.flatten(0, 1)[:, None], torch.float32, self._mean, self._std)
        size = self.card.image_size
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True)
        return (pixels.to(self._pixels).unflatten(0, frames.shape[:2]),)

    def _frame_vectors(self, pixels: Tensor) -> Tensor:
        vectors = _pooled(self._model.get_image_features(**self._patched(pixels.flatten(0, 1))))
        apart: Tensor = vectors.unflatten(0, pixels.shape[:2])
        return apart

    def _mean_of_frames(self, vectors: Tensor) -> Tensor:
        apart = self._unit(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
        return self._unit(apart.mean(1))

    def _patched(self, pixels: Tensor) -> dict[str, Tensor]:
        """SigLIP 2's flexible form takes a picture as a row of patches, the others as it is."""
        if self._kind != "siglip2":
            return {"pixel_values": pixels}
        patch = self._model.config.vision_config.patch_size
        side = pixels.shape[-1] // patch
        tiles = pixels[..., : side * patch, : side * patch].unfold(2, patch, patch)
        tiles = tiles.unfold(3, patch, patch).permute(0, 2, 3, 4, 5, 1)
        rows = tiles.reshape(len(pixels), side * side, -1)
        shapes = torch.tensor([[side, side]], device=pixels.device).expand(len(pixels), -1)
        mask = torch.ones(rows.shape[:2], dtype=torch.long, device=pixels.device)
        return {"pixel_values": rows, "pixel_attention_mask": mask, "spatial_shapes": shapes}

    def _ids(self, batch: Any) -> Tensors:
        check_words(batch)
        texts = list(batch)
        if self._kind == "clip":
            encoded = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            return encoded["input_ids"], encoded["attention_mask"]
        # Both others were trained with lower case, padded to 64 and without a mask.
        encoded = self._tokenizer(
            [text.lower() for text in texts],
            padding="max_length",
            max_length=SIGLIP_TOKENS,
            truncation=True,
            return_tensors="pt",
        )
        return (encoded["input_ids"],)

    def _words(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        masked = {} if mask is None else {"attention_mask": mask}
        return _pooled(self._model.get_text_features(input_ids=ids, **masked))

    def _unit(self, vectors: Tensor) -> Tensor:
        return unit_length(vectors, self.card.name)


def build_clip(
    card: EncoderCard,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    exact: Collection[Modality] = (),
) -> ClipEncoder:
    """`exact` towers stay float32. Raises WeightsError that names the folder and what it lacks."""
    model = opened(
        folder,
        "model",
        lambda: AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True),
    )
    tokenizer = opened(
        folder, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True)
    )
    settings = read_json(folder / "preprocessor_config.json")
    mean, std = settings.get("image_mean", MEAN), settings.get("image_std", STD)
    return ClipEncoder(model, tokenizer, card, device, dtype, mean=mean, std=std, exact=exact)


def _checked_windows(windows: Any) -> Tensors:
    check_windows(windows)
    return (torch.from_numpy(np.ascontiguousarray(windows)),)


def _pooled(features: Any) -> Tensor:
    """The library gives a tensor, or an output whose pooled part is the projected vector."""
    vectors: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return vectors
