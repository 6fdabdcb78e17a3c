"""Pictures: the reference's resize and crop, and normalisation on the device.

Source: CLIP (Radford et al., 2021), whose mean and deviation ImageBind keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import InputError

SIZE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def crop_of(picture: Image.Image) -> NDArray[np.uint8]:
    """(224,224,3) RGB: the short side to 224, bicubic, then the centre."""
    rgb = picture.convert("RGB")
    width, height = rgb.size
    if width <= height:
        size = (SIZE, int(SIZE * height / width))
    else:
        size = (int(SIZE * width / height), SIZE)
    resized = rgb.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - SIZE) / 2), round((size[1] - SIZE) / 2)
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))


def still_windows(pictures: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """(N,1,224,224,3): pictures as windows of one frame. Raises InputError for none."""
    if not pictures:
        raise InputError("There are no pictures.", remedy="Give one at least.")
    return np.stack([crop_of(picture)[None] for picture in pictures])


def check_windows(windows: NDArray[Any], most_frames: int | None = None) -> None:
    """Raises InputError unless it is uint8 (N,F,224,224,3) with 1 to `most_frames` frames."""
    fits = windows.dtype == np.uint8 and windows.ndim == 5 and windows.shape[2:] == (SIZE, SIZE, 3)
    if not fits or 0 in windows.shape:
        raise InputError(
            f"A batch is {windows.dtype} {windows.shape}.", remedy="Give uint8 (N, F, 224, 224, 3)."
        )
    if most_frames is not None and windows.shape[1] > most_frames:
        raise InputError(
            f"A window has {windows.shape[1]} frames.", remedy=f"Give 1 to {most_frames}."
        )


def normalize(
    frames: Tensor,
    dtype: torch.dtype,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> Tensor:
    """uint8 (N,F,224,224,3) to (N,3,224,224) where F is 1, else (N,3,F,224,224).

    `frames` may be on any device; the arithmetic happens there.
    """
    means = torch.tensor(mean, device=frames.device) * 255
    deviations = torch.tensor(std, device=frames.device) * 255
    scaled = ((frames.float() - means) / deviations).to(dtype)
    channels_first = scaled.permute(0, 4, 1, 2, 3)
    return channels_first[:, :, 0] if frames.shape[1] == 1 else channels_first


def at_side(pixels: Tensor, side: int) -> Tensor:
    """(..., 224, 224) to (..., side, side), each the mean of what it covers; for small networks."""
    if pixels.shape[-1] == side:
        return pixels
    flat = pixels.flatten(0, -4) if pixels.dim() > 4 else pixels
    return F.interpolate(flat, (side, side), mode="area").view(*pixels.shape[:-2], side, side)
