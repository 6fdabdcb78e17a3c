"""Memory that a decoding child writes a picture to, and this process makes the frame from.

The child reads the JPEG or PNG; what is left, to resize, is done here, by instructions that Pillow
does not use, in a third of its time (docs/performance.md). What the child wrote is numbers between
0 and 255, whatever they are, and where they end is for this side to know.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.media.square import centre_of
from pipeline.media.window import FRAME_PX

AREA_BYTES = 8 * 2**20
MAX_ASPECT = 3
"""Of a longer picture most is thrown away, and a smaller one than a frame is little work: their
child makes the frame itself."""

_CHANNELS = 3


class PictureArea:
    """This process's side. To be closed."""

    def __init__(self) -> None:
        self.number = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.number, AREA_BYTES)
        # No child can make it shorter, which would kill whoever reads behind its end.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.number, fcntl.F_ADD_SEALS, seals)
        self._map = mmap.mmap(self.number, AREA_BYTES)

    def frame(self, width: int, height: int) -> NDArray[np.uint8]:
        """(224, 224, 3) of the picture that lies there; within one level of what `to_square` gives.

        Raises ValueError for a size that does not fit.
        """
        if not _fits(width, height):
            raise ValueError(f"no picture of {width} x {height} fits")
        count = width * height * _CHANNELS
        rgb = np.frombuffer(self._map, np.uint8, count).reshape(height, width, _CHANNELS)
        return _square(rgb)

    def close(self) -> None:
        self._map.close()
        os.close(self.number)


class AreaInChild:
    """The child's side, of the open file that it was handed."""

    def __init__(self, number: int) -> None:
        self._map = mmap.mmap(number, AREA_BYTES)
        os.close(number)

    def put(self, picture: Image.Image) -> bool:
        """False, and nothing done, where it does not fit."""
        if picture.mode != "RGB" or not _fits(*picture.size):
            return False
        self._map[: picture.width * picture.height * _CHANNELS] = picture.tobytes()
        return True


def _fits(width: int, height: int) -> bool:
    small, large = sorted((width, height))
    is_shaped = small >= FRAME_PX and large <= MAX_ASPECT * small
    return is_shaped and width * height * _CHANNELS <= AREA_BYTES


def _square(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Half a second, where there are pictures alone; in the loop the encoder has it already.
    import torch
    from torch.nn import functional as F

    height, width = rgb.shape[:2]
    (new_width, new_height), left, top = centre_of(width, height)
    with torch.inference_mode():
        channels_first = torch.from_numpy(rgb).permute(2, 0, 1)[None]
        size = (new_height, new_width)
        whole = F.interpolate(channels_first, size, mode="bicubic", antialias=True)
    square = whole.numpy()[0, :, top : top + FRAME_PX, left : left + FRAME_PX]
    # By numpy: torch would wake all its threads for it, which then wait for more, busily.
    return np.ascontiguousarray(square.transpose(1, 2, 0))
