"""Depth maps: metres to the disparity picture that the depth tower sees.

Source: ImageBind's appendix B trains on SUN RGB-D as disparity, normalised as Omnivore does
(Girdhar et al., CVPR 2022): depth is held within 0.01 to 50 m, disparity = baseline * focal length
/ depth in pixels, held within 0 to 75 and divided by 75, mean 0.0418, deviation 0.0295. No reading
(0, NaN, infinity) counts as farthest. The reference publishes no loader for depth; those figures
are its authors' answers.

Files: 16-bit `.png` in millimetres, `.npy` or `.npz` (its first array) in metres, `.exr` (channel
Z, or the first one) in metres where the OpenEXR package is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from encoders.errors import InputError
from encoders.preprocess.arrays import one_channel_crop, read_array

NEAREST_M = 0.01
FARTHEST_M = 50.0
MAX_DISPARITY_PX = 75.0
MEAN = 0.0418
STD = 0.0295
MILLIMETRE_M = 0.001
SUFFIXES = (".png", ".npy", ".npz", ".exr")

Unit = Literal["metres", "disparity"]


@dataclass(frozen=True, slots=True)
class Camera:
    """Of the sensor: a Kinect's, where nothing better is known."""

    focal_length_px: float = 518.86
    baseline_m: float = 0.075

    def __post_init__(self) -> None:
        if not (self.focal_length_px > 0 and self.baseline_m > 0):
            raise InputError(
                f"A camera has focal length {self.focal_length_px} and baseline {self.baseline_m}.",
                remedy="Both are above nought.",
            )


def read_depth(path: Path, scale_m: float = MILLIMETRE_M) -> NDArray[np.float32]:
    """(H,W) as the file has it, in metres where it is depth; `scale_m` is a step of a 16-bit PNG.

    Raises InputError that names the file.
    """
    if path.suffix.lower() == ".png":
        with Image.open(path) as picture:
            if picture.mode not in ("I;16", "I;16B", "I"):
                raise InputError(
                    f"{path} is a PNG of mode {picture.mode}.",
                    remedy="Depth is one channel of 16 bits.",
                )
            return np.asarray(picture).astype(np.float32) * np.float32(scale_m)
    if path.suffix.lower() == ".exr":
        return _exr(path)
    return read_array(path, "depth").astype(np.float32)


def prepare_depth(
    maps: NDArray[np.float32], unit: Unit = "metres", camera: Camera | None = None
) -> Tensor:
    """(N,H,W) depth in metres, or disparity in pixels, to (N,1,224,224). Raises InputError."""
    if maps.ndim != 3 or 0 in maps.shape:
        raise InputError(f"Depth is {maps.shape}.", remedy="Give (N,H,W), nothing empty.")
    camera = camera or Camera()
    values = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))
    known = torch.isfinite(values) & (values > 0)
    if unit == "metres":
        metres = torch.where(known, values, FARTHEST_M).clamp(NEAREST_M, FARTHEST_M)
        values = camera.baseline_m * camera.focal_length_px / metres
    else:
        values = torch.where(known, values, 0.0)
    scaled = values.clamp(0, MAX_DISPARITY_PX) / MAX_DISPARITY_PX
    return (one_channel_crop(scaled) - MEAN) / STD


def _exr(path: Path) -> NDArray[np.float32]:
    try:
        import OpenEXR
    except ImportError as error:
        raise InputError(
            f"{path} is OpenEXR, which nothing installed can read.",
            remedy="pip install OpenEXR, or convert it to .npy.",
        ) from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            name = "Z" if "Z" in channels else next(iter(channels))
            pixels = np.asarray(channels[name].pixels, np.float32)
    except (RuntimeError, ValueError, TypeError, StopIteration) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy="Is it OpenEXR?") from error
    return pixels if pixels.ndim == 2 else pixels[..., 0]
