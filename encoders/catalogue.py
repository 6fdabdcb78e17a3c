"""The encoders there are, as cards, and how one is loaded. Cards need neither torch nor weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from encoders.card import EncoderCard
from encoders.errors import UnknownEncoder, WeightsError
from encoders.modality import Modality

if TYPE_CHECKING:
    import torch

    from encoders.imagebind import ImageBindConfig
    from encoders.protocol import Encoder

Precision = Literal["auto", "fp32", "bf16"]
SENSES = (Modality.VISION, Modality.AUDIO, Modality.TEXT)
PAPER = "Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023"

CARDS = {
    card.name: card
    for card in (
        EncoderCard(
            name="imagebind-demo",
            title="ImageBind's architecture made small; seeded weights, never trained",
            modalities=SENSES,
            dimension=256,
            licence="Apache-2.0: the code here makes the weights from a seed.",
            source="made at load time",
            paper=PAPER,
            preprocessing_version="imagebind/1",
            weights_digest="seed:0",
            meaningful=False,
        ),
        EncoderCard(
            name="imagebind-huge",
            title="The published ImageBind: ViT-H for pictures, 1024 dimensions",
            modalities=SENSES,
            dimension=1024,
            licence="CC BY-NC 4.0 (checkpoint by Meta): no commercial use, attribution needed. "
            "The code that runs it here is Apache-2.0.",
            source="imagebind_huge.pth as published, or a safetensors copy of it",
            paper=PAPER,
            preprocessing_version="imagebind/1",
            weights_digest="needed",
            meaningful=True,
            needs_weights=True,
        ),
    )
}


def card_for(name: str, weights: Path | None = None, *, seed: int = 0) -> EncoderCard:
    """The card with its weights' digest; no model is built and torch is not imported.

    Raises UnknownEncoder, and WeightsError where weights are missing or not taken.
    """
    if name not in CARDS:
        raise UnknownEncoder(
            f"There is no encoder {name!r}.", remedy=f"There are {', '.join(CARDS)}."
        )
    card = CARDS[name]
    if weights is not None:
        from encoders.digest import file_digest

        # Trained or not, a checkpoint is somebody's: it is taken to mean something.
        return card.with_weights(file_digest(weights), meaningful=True)
    if card.needs_weights:
        raise WeightsError(
            f"{name} needs its checkpoint.", remedy="Name it with --weights or encode.weights."
        )
    return card.with_weights(f"seed:{seed}", meaningful=card.meaningful)


def load_encoder(
    name: str,
    weights: Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> Encoder:
    """Build the network with its weights on a device.

    Raises UnknownEncoder, and WeightsError that names the file and the tensor.
    """
    card = card_for(name, weights, seed=seed)
    import torch

    from encoders.imagebind import HUGE, ImageBind
    from encoders.imagebind.encode import ImageBindEncoder
    from encoders.seeded import seeded_state_dict
    from encoders.weights import load_into, read_state_dict

    if threads is not None:
        torch.set_num_threads(threads)
    config = _config(card)
    place = _device(device)
    if weights is None:
        model = ImageBind(config)
        load_into(model, seeded_state_dict(model, seed), f"seed {seed}")
    else:
        state = read_state_dict(weights)
        # Built without storage: 4.8 GB of zeros would only be thrown away.
        with torch.device("meta"):
            model = ImageBind(config)
        load_into(model, state, str(weights))
    wide = config.dimension == HUGE.dimension or place.type == "cuda"
    half = precision == "bf16" or (precision == "auto" and wide)
    return ImageBindEncoder(model, card, place, torch.bfloat16 if half else torch.float32)


def check_weights(name: str, weights: Path | None) -> None:
    """Compare a checkpoint's names and shapes with the network's, before anything is started.

    Reads a header, or maps the file; no tensor is loaded. Raises as `load_encoder` does.
    """
    if weights is None:
        return
    card = card_for(name, weights)
    import torch

    from encoders.imagebind import ImageBind
    from encoders.weights import check_fit, read_state_dict

    with torch.device("meta"):
        model = ImageBind(_config(card))
    check_fit(model, read_state_dict(weights), str(weights))


def _config(card: EncoderCard) -> ImageBindConfig:
    from encoders.imagebind import DEMO, HUGE

    return {"imagebind-demo": DEMO, "imagebind-huge": HUGE}[card.name].only(card.modalities)


def _device(device: str) -> torch.device:
    import torch

    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
