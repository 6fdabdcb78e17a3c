"""How many multiplications and additions an embedding takes, counted from the configuration."""

from __future__ import annotations

from encoders.imagebind.config import CONTEXT, VISION_PATCH, ImageBindConfig
from encoders.modality import Modality

# Tokens with the class token (of pictures: by their size), and what a patch holds (inputs of the
# stem's product).
TOKENS = {
    Modality.TEXT: CONTEXT,
    Modality.AUDIO: 229,
    Modality.DEPTH: 197,
    Modality.THERMAL: 197,
    Modality.IMU: 251,
}
PATCH = {
    Modality.VISION: 3 * 14 * 14,
    Modality.TEXT: 0,
    Modality.AUDIO: 16 * 16,
    Modality.DEPTH: 16 * 16,
    Modality.THERMAL: 16 * 16,
    Modality.IMU: 48,
}


def flop_an_embedding(config: ImageBindConfig, modality: Modality) -> float:
    """Of what is computed here: a still's folded stem, and the last block at one token. The stem of
    two frames is twice that, a thousandth of ViT-H's whole, and is not counted."""
    tower = config.towers[modality]
    width = tower.width
    if modality is Modality.VISION:
        length = (config.image_size // VISION_PATCH) ** 2 + 1
    else:
        length = TOKENS[modality]
    keys = length + (1 if tower.bias_kv else 0)
    stem = 2 * (length - 1) * PATCH[modality] * width
    projections, perceptron = 4 * width * width, 8 * width * width
    whole = 2 * length * (projections + perceptron) + 4 * length * keys * width
    last = 2 * (2 * width * width * length + 2 * width * width + perceptron) + 4 * keys * width
    head = 2 * width * config.dimension
    return float(stem + (tower.blocks - 1) * whole + last + head)
