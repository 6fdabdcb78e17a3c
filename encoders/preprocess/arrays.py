"""One-channel pictures: read from files that may come from anyone, cut as the towers want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import InputError
from encoders.preprocess.image import SIZE


def read_array(path: Path, what: str) -> NDArray[Any]:
    """The array of an `.npy`, the first of an `.npz`; two dimensions, numbers. No pickle is run.

    Raises InputError that names the file.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                if not loaded.files:
                    raise InputError(f"{path} holds no array.", remedy="Save one in it.")
                loaded = loaded[loaded.files[0]]
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as {what}: {error}", remedy="Give a .npy or .npz of numbers."
        ) from error
    array = np.asarray(loaded)
    if array.ndim != 2 or 0 in array.shape or not np.issubdtype(array.dtype, np.number):
        raise InputError(
            f"{path} is {array.dtype} {array.shape}.", remedy=f"{what} is numbers in 2 dimensions."
        )
    return array


def one_channel_crop(pictures: Tensor) -> Tensor:
    """(N,H,W) float to (N,1,224,224): the short side to 224, bilinear, then the centre."""
    height, width = pictures.shape[1:]
    if width <= height:
        size = (max(SIZE, SIZE * height // width), SIZE)
    else:
        size = (SIZE, max(SIZE, SIZE * width // height))
    scaled = F.interpolate(
        pictures[:, None], size=size, mode="bilinear", align_corners=False, antialias=True
    )
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    return scaled[..., top : top + SIZE, left : left + SIZE]
