"""Localises a sound, a text or another picture in a picture, patch by patch, and draws it over.

ImageBind's section 5 shows that its sound tower can point in a picture (through a detector). Here
no detector is needed: the vision tower's last tokens, each through the head as the class token is,
are compared with the query (after MaskCLIP, Zhou et al., ECCV 2022, without its change of the last
attention). 16 x 16 answers a picture of 224; what is shown is relative within one picture.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.errors import InputError
from encoders.imagebind.model import ImageBind
from encoders.preprocess.image import SIZE, crop_of, normalize

COLD, HOT = np.array([20, 30, 90]), np.array([255, 60, 20])
STRENGTH = 0.65


def similarity_map(
    model: ImageBind, pixels: torch.Tensor, query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N,3,S,S) normalised pictures and a unit vector (D,), to cosines (N,S/14,S/14).

    Raises InputError.
    """
    if query.shape != (model.config.dimension,):
        raise InputError(
            f"The query is {query.shape}.", remedy=f"Give ({model.config.dimension},)."
        )
    with torch.inference_mode():
        patches = model.patches(pixels)
        cosines = patches @ torch.from_numpy(query).to(patches.device)
    side = int(cosines.shape[1] ** 0.5)
    found: NDArray[np.float32] = cosines.unflatten(1, (side, side)).float().cpu().numpy()
    return found


def localise(model: ImageBind, picture: Image.Image, query: NDArray[np.float32]) -> Image.Image:
    """The picture's middle square (224 x 224) with its map drawn over it: red is most alike."""
    crop = crop_of(picture)
    weight = next(model.parameters())
    frames = torch.from_numpy(crop.copy())[None, None].to(weight.device)
    pixels = normalize(frames, weight.dtype, side=model.config.image_size)
    return draw(crop, similarity_map(model, pixels, query)[0])


def draw(crop: NDArray[np.uint8], cosines: NDArray[np.float32]) -> Image.Image:
    """(224,224,3) and its map (H,W), to a picture; the map is stretched over its own range."""
    low, high = float(cosines.min()), float(cosines.max())
    relative = (cosines - low) / max(high - low, 1e-6)
    grey = Image.fromarray((relative * 255).astype(np.uint8)).resize(
        (SIZE, SIZE), Image.Resampling.BICUBIC
    )
    heat = np.asarray(grey, np.float32)[..., None] / 255
    colour = COLD + (HOT - COLD) * heat
    mixed = crop * (1 - STRENGTH * heat) + colour * STRENGTH * heat
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
