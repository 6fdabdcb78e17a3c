"""Networks for the GPU bench, with random weights, and batches of what they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encoders.card import EncoderCard
from encoders.catalogue import CARDS
from encoders.imagebind.config import HUGE, MINI, TINY, ImageBindConfig
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.text import CONTEXT, END_ID
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into

SHAPES = {
    Modality.VISION: (3, 224, 224),
    Modality.AUDIO: (1, 128, 204),
    Modality.DEPTH: (1, 224, 224),
    Modality.THERMAL: (1, 224, 224),
    Modality.IMU: (6, 2000),
}
SIZES: dict[str, tuple[ImageBindConfig, str]] = {
    "huge": (HUGE, "imagebind-huge"),
    "tiny": (TINY, "imagebind-huge"),
    "mini": (MINI, "sensedex-mini"),
}
WINDOW_S = 2.0


def built(
    size: str,
    modalities: tuple[Modality, ...],
    device: torch.device,
    dtype: torch.dtype,
    batch: int,
) -> ImageBindEncoder:
    """As `encoders.loading` builds it, with seeded weights."""
    config, name = SIZES[size]
    model = ImageBind(config.only(modalities))
    load_into(model, seeded_state_dict(model, 0), "seed 0")
    card: EncoderCard = replace(
        CARDS[name], weights_digest="seed:0", dimension=config.dimension, modalities=modalities
    )
    return ImageBindEncoder(model, card, device, dtype, max_batch=batch)


def raw(modality: Modality, batch: int) -> Any:
    """A batch as the encoder takes it; texts of which all 77 tokens are computed."""
    noise = np.random.default_rng(0)
    if modality is Modality.VISION:
        return noise.integers(0, 256, (batch, 2, 224, 224, 3), dtype=np.uint8)
    if modality is Modality.AUDIO:
        return noise.integers(-9000, 9000, (batch, int(16_000 * WINDOW_S)), dtype=np.int16)
    if modality is Modality.TEXT:
        return [f"{number} {'dog ' * CONTEXT}" for number in range(batch)]
    if modality is Modality.IMU:
        return noise.standard_normal((batch, 6, 2000)).astype(np.float32)
    return (1 + 9 * noise.random((batch, 224, 224))).astype(np.float32)


def inputs(modality: Modality, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What the network itself takes, for those who count its operations."""
    generator = torch.Generator(device).manual_seed(0)
    if modality is Modality.TEXT:
        ids = torch.randint(1, 40_000, (batch, CONTEXT), device=device, generator=generator)
        ids[:, -1] = END_ID
        return ids
    shape = (batch, *SHAPES[modality])
    return torch.randn(shape, device=device, generator=generator).to(dtype)
