"""Pictures: the reference's resize and crop, and normalisation on the device.

Source: CLIP (Radford et al., 2021), whose mean and deviation ImageBind keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
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
    side: int = SIZE,
) -> Tensor:
    """uint8 (N,F,224,224,3) to (N,3,side,side) where F is 1, else (N,3,F,side,side); each value is
    the mean of what it covers, for networks that take smaller pictures.

    `frames` may be on any device; the arithmetic happens there.
    """
    means, deviations = _times_255(tuple(mean), tuple(std), frames.device)
    # Averaged before it is scaled: a quarter of the values, or fewer, are left to scale.
    scaled = _averaged(frames, side).sub_(means).div_(deviations).to(dtype)
    channels_first = scaled.permute(0, 4, 1, 2, 3)
    return channels_first[:, :, 0] if frames.shape[1] == 1 else channels_first


@cache
def _times_255(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Kept on the device: to send them anew for each batch would wait for all before it."""
    means, deviations = (torch.tensor(values, device=device) * 255 for values in (mean, std))
    return means, deviations


def _averaged(frames: Tensor, side: int) -> Tensor:
    """float32 (N,F,side,side,3), each the mean of what it covers of uint8 (N,F,224,224,3)."""
    if side == SIZE:
        return frames.float()
    number, count = frames.shape[:2]
    if SIZE % side:
        flat = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
        pooled = F.adaptive_avg_pool2d(flat, side)
        return pooled.permute(0, 2, 3, 1).reshape(number, count, side, side, 3)
    # Whole rows are added, then columns: a tenth of the time of adaptive_avg_pool2d.
    factor = SIZE // side
    rows = frames.reshape(number, count, side, factor, SIZE * 3)
    columns = sum(rows[:, :, :, n].float() for n in range(factor))
    cells = columns.view(number, count, side, side, factor, 3)  # type: ignore[union-attr]
    return sum(cells[..., n, :] for n in range(factor)) / factor**2  # type: ignore[return-value]
