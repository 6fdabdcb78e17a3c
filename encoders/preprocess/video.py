"""Video clips as the reference sees them: five of two seconds, two frames and three crops each.

Source: ImageBind's appendix B; resize is bilinear on floats there (pictures are bicubic on bytes).
The pipeline's own windows are cut and scaled while decoding, and go through `image.normalize`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import InputError
from encoders.preprocess.image import MEAN, SIZE, STD
from encoders.preprocess.sampling import VIDEO_CLIPS, VIDEO_CROPS, clips_of, frames_of


def reference_frames(frames: int, fps: Fraction | float) -> list[list[int]]:
    """Which frames of a video stand for its five clips, two a clip. Raises InputError."""
    clips = clips_of(Fraction(frames) / Fraction(fps), "reference", clips=VIDEO_CLIPS)
    return [frames_of(clip, fps, frames) for clip in clips]


def clip_crops(frames: Tensor, crops: int = VIDEO_CROPS) -> Tensor:
    """uint8 (F,H,W,3) to (crops,3,F,224,224) float32, normalised; on the device of `frames`.

    The short side to 224, then the middle (1 crop), or both ends of the long side around it (3).
    Raises InputError.
    """
    if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[-1] != 3 or not len(frames):
        raise InputError(
            f"Frames are {frames.dtype} {tuple(frames.shape)}.", remedy="Give uint8 (F,H,W,3)."
        )
    if crops not in (1, 3):
        raise InputError(f"{crops} crops were asked for.", remedy="Take 1 or 3.")
    height, width = frames.shape[1:3]
    short = min(height, width)
    size = (height * SIZE // short, width * SIZE // short)
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    scaled = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    mean = torch.tensor(MEAN, device=frames.device)[:, None, None]
    std = torch.tensor(STD, device=frames.device)[:, None, None]
    normal = ((scaled - mean) / std).transpose(0, 1)
    return torch.stack([normal[..., y : y + SIZE, x : x + SIZE] for y, x in _corners(size, crops)])


def _corners(size: tuple[int, int], crops: int) -> Iterable[tuple[int, int]]:
    height, width = size
    middle = (-(-(height - SIZE) // 2), -(-(width - SIZE) // 2))
    if crops == 1:
        return [middle]
    if height > width:
        return [(0, middle[1]), middle, (height - SIZE, middle[1])]
    return [(middle[0], 0), middle, (middle[0], width - SIZE)]
