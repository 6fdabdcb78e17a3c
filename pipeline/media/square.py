"""The centre square of a picture, as encoders take it, by Pillow: RGB on white, bicubic."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.media.window import FRAME_PX

_REDUCED_FACTOR = 4
"""A large picture that has to be converted to RGB is first reduced to so many times the size."""

_WHOLE_ASPECT = 8
_CUT_FACTOR = 2
"""From here on only what is cut out is computed: a quarter less of a 4:3 picture. Pillow's single
precision then moves one value in a thousand by one level; below, it can move more."""
_STRIP_PIXELS = 4_000_000


def to_square(picture: Image.Image) -> NDArray[np.uint8]:
    """Short side to 224 (bicubic, antialiased) and the centre cut out: (224, 224, 3) uint8.

    Of a large picture and of a long strip only what is cut out is computed.
    """
    rgb = reduced(picture)
    width, height = rgb.size
    new, left, top = centre_of(width, height)
    if min(width, height) < FRAME_PX * _CUT_FACTOR and max(new) <= FRAME_PX * _WHOLE_ASPECT:
        whole = rgb.resize(new, Image.Resampling.BICUBIC)
        return np.asarray(whole.crop((left, top, left + FRAME_PX, top + FRAME_PX)))
    x_scale, y_scale = width / new[0], height / new[1]
    box = (
        left * x_scale,
        top * y_scale,
        min(width, (left + FRAME_PX) * x_scale),
        min(height, (top + FRAME_PX) * y_scale),
    )
    return np.asarray(rgb.resize((FRAME_PX, FRAME_PX), Image.Resampling.BICUBIC, box=box))


def centre_of(width: int, height: int) -> tuple[tuple[int, int], int, int]:
    """The whole picture's (width, height) with the short side at 224, and where the square begins
    in it: left, top."""
    if width <= height:
        new = (FRAME_PX, max(FRAME_PX, FRAME_PX * height // width))
    else:
        new = (max(FRAME_PX, FRAME_PX * width // height), FRAME_PX)
    return new, round((new[0] - FRAME_PX) / 2), round((new[1] - FRAME_PX) / 2)


def array_to_square(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same for (height, width, 3) from another decoder."""
    return to_square(Image.fromarray(rgb))


def reduced(picture: Image.Image) -> Image.Image:
    """RGB; a large picture that is not RGB yet comes out smaller by a whole number, still
    _REDUCED_FACTOR times the size wanted. A strip is converted at a time: what is held at once is
    the picture as it was decoded, and little more."""
    factor = min(picture.size) // (FRAME_PX * _REDUCED_FACTOR)
    if factor < 2 or picture.mode == "RGB":
        return to_rgb(picture, _span(picture))
    span = _span(picture)
    small = Image.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    for top, strip in _strips(picture, factor):
        small.paste(to_rgb(strip, span).reduce(factor), (0, top // factor))
    return small


def _strips(picture: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """From top to bottom, each with where it begins; but for the last, of factor * n rows."""
    rows = factor * max(1, _STRIP_PIXELS // (picture.width * factor))
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _span(picture: Image.Image) -> tuple[float, float]:
    """Least and greatest value of a picture of large or fractional numbers."""
    if picture.mode not in ("I", "F"):
        return 0.0, 255.0
    ends = [(float(v.min()), float(v.max())) for v in (_numbers(s) for _, s in _strips(picture))]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if picture.mode == "I" and low >= 0 and high < 65536:
        return 0.0, 255.0 if high < 256 else 65535.0
    return low, high


def _numbers(picture: Image.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(picture, np.float64))


def to_rgb(picture: Image.Image, span: tuple[float, float]) -> Image.Image:
    """RGB on white; 16-bit grey is halved to 8, other numbers are spread over `span`."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        low, high = span
        spread = (_numbers(picture) - low) * (255.0 / ((high - low) or 1.0))
        return Image.fromarray(spread.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
