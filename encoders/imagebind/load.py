"""ImageBind from its card: which configuration, which weights, which arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from encoders.card import EncoderCard
from encoders.imagebind.config import DEMO, HUGE, MINI, ImageBindConfig
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.int8 import to_int8
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.seeded import seeded_state_dict
from encoders.weights import check_fit, load_into, read_state_dict

CONFIGS: dict[str, ImageBindConfig] = {
    "sensedex-mini": MINI,
    "imagebind-demo": DEMO,
    "imagebind-huge": HUGE,
}


def build_imagebind(
    card: EncoderCard,
    weights: Path | None,
    device: torch.device,
    precision: str,
    seed: int,
    modalities: Sequence[Modality],
    exact: Collection[Modality] = (),
) -> ImageBindEncoder:
    """`exact` towers stay in float32. Raises WeightsError that names the file and the tensor."""
    config = CONFIGS[card.name].only(tuple(modalities))
    if weights is None:
        model = ImageBind(config)
        load_into(model, seeded_state_dict(model, seed), f"seed {seed}")
    else:
        # Built without storage: 4.8 GB of zeros would only be thrown away.
        with torch.device("meta"):
            model = ImageBind(config)
        load_into(model, read_state_dict(weights), str(weights), model.is_beside)
    model = model.eval().requires_grad_(False)
    if precision == "int8":
        return ImageBindEncoder(to_int8(model.float(), exact), card, device, torch.float32)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return ImageBindEncoder(model, card, device, dtype, exact=exact)


def check_imagebind(card: EncoderCard, weights: Path) -> None:
    """Names and shapes alone; no tensor is loaded. Raises WeightsError."""
    with torch.device("meta"):
        model = ImageBind(CONFIGS[card.name])
    check_fit(model, read_state_dict(weights), str(weights), model.is_beside)
