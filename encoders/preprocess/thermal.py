"""Thermal pictures to what the thermal tower sees: one channel from 0 to 1.

Source: ImageBind trains on LLVIP (Jia et al., 2021), whose pictures are 8-bit grey as a camera's
own gain control makes them; no mean is taken off (the published accuracy is only met without). More
bits, and temperatures, are stretched alike: from the picture's 1st to its 99th percentile.

Files: 8- or 16-bit `.png`, `.jpg`, `.tif`; temperatures of a radiometric camera as `.npy`, in any
unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from encoders.errors import InputError
from encoders.preprocess.arrays import one_channel_crop, read_array

LOW_PERCENTILE = 1.0
HIGH_PERCENTILE = 99.0
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".npz")


def read_thermal(path: Path) -> NDArray[Any]:
    """(H,W): uint8 as it is; uint16 or float32 as the sensor gave them. Raises InputError."""
    if path.suffix.lower() in (".npy", ".npz"):
        return read_array(path, "a thermal picture")
    try:
        with Image.open(path) as picture:
            if picture.mode in ("I;16", "I;16B", "I", "F"):
                return np.asarray(picture)
            return np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a picture: {error}", remedy="Give PNG, JPEG or TIFF."
        ) from error


def prepare_thermal(pictures: NDArray[Any]) -> Tensor:
    """(N,H,W) to (N,1,224,224) in [0, 1]. Raises InputError for NaN, which has no temperature."""
    if pictures.ndim != 3 or 0 in pictures.shape:
        raise InputError(f"Thermal is {pictures.shape}.", remedy="Give (N,H,W), nothing empty.")
    values = torch.from_numpy(np.ascontiguousarray(pictures, dtype=np.float32))
    if not bool(torch.isfinite(values).all()):
        raise InputError("A thermal picture has NaN or infinity.", remedy="Fill dead pixels first.")
    if pictures.dtype == np.uint8:
        return one_channel_crop(values / 255)
    spans = np.percentile(pictures, (LOW_PERCENTILE, HIGH_PERCENTILE), axis=(1, 2))
    low, high = (torch.from_numpy(span.astype(np.float32))[:, None, None] for span in spans)
    stretched = (values - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    return one_channel_crop(stretched.clamp(0, 1))
