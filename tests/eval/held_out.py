"""Pictures and sounds in forms that no training saw, made alike every time.

Training varies grounds, crops and colours at random; these forms are of other kinds (a checkered
ground, JPEG at a low quality) or fixed (a crop, a scale), and drawn with seeds of their own.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.preprocess.audio import SAMPLE_RATE_HZ

SIDE = 224
WINDOW_SAMPLES = 2 * SAMPLE_RATE_HZ
NOISE_DB = 20.0
Form = Callable[[Image.Image, int], Image.Image]


def checkered(cut_out: Image.Image, number: int) -> Image.Image:
    """On a checkerboard of two colours that follow from the number."""
    random = np.random.default_rng([7, number])
    colours = random.uniform(40, 255, (2, 3))
    rows, columns = np.indices((SIDE, SIDE)) // 28
    ground = colours[(rows + columns) % 2].astype(np.uint8)
    return _on(Image.fromarray(ground), cut_out, 0.9)


def small(cut_out: Image.Image, number: int) -> Image.Image:
    """At six tenths of the frame's side, on a pale ground, away from the middle."""
    random = np.random.default_rng([8, number])
    colour = tuple(int(c) for c in random.integers(190, 256, 3))
    shift = (random.uniform(-0.15, 0.15), random.uniform(-0.15, 0.15))
    return _on(Image.new("RGB", (SIDE, SIDE), colour), cut_out, 0.6, shift)


def cropped(cut_out: Image.Image, number: int) -> Image.Image:
    """Three quarters of its side, from one of the corners or the middle."""
    whole = _on(Image.new("RGB", (SIDE, SIDE), "white"), cut_out, 1.0)
    side = round(0.75 * SIDE)
    spare = SIDE - side
    left, top = ((0, 0), (spare, 0), (0, spare), (spare, spare), (spare // 2, spare // 2))[
        number % 5
    ]
    return whole.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))


def squeezed(cut_out: Image.Image, _number: int) -> Image.Image:
    """Through JPEG at quality 12."""
    file = io.BytesIO()
    _on(Image.new("RGB", (SIDE, SIDE), "white"), cut_out, 0.95).save(file, "JPEG", quality=12)
    return Image.open(file).convert("RGB")


def grey(cut_out: Image.Image, _number: int) -> Image.Image:
    """Without colour, on grey."""
    return _on(Image.new("RGB", (SIDE, SIDE), (200, 200, 200)), cut_out, 0.9).convert("L")


FORMS: dict[str, Form] = {
    "other ground": checkered,
    "scale": small,
    "crop": cropped,
    "JPEG": squeezed,
    "grey": grey,
}


def plain(cut_out: Image.Image) -> NDArray[np.uint8]:
    """(1,224,224,3): on white, as somebody would photograph it."""
    return _window(_on(Image.new("RGB", (SIDE, SIDE), "white"), cut_out, 0.9))


def window_of(cut_out: Image.Image, form: str, number: int) -> NDArray[np.uint8]:
    """(1,224,224,3) of the thing with that number in that form."""
    return _window(FORMS[form](cut_out, number))


def side_by_side(left: Image.Image, right: Image.Image) -> NDArray[np.uint8]:
    """(1,224,224,3) with two things in it."""
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    for number, thing in enumerate((left, right)):
        half = _on(Image.new("RGB", (SIDE // 2, SIDE), "white"), thing, 0.95)
        canvas.paste(half, (number * SIDE // 2, 0))
    return _window(canvas)


def heard(samples: NDArray[np.int16], number: int) -> NDArray[np.int16]:
    """(32000,) from a place of its own in the sound, with noise 20 dB under it."""
    random = np.random.default_rng([9, number])
    start = int(random.integers(0, max(len(samples) - WINDOW_SAMPLES, 0) + 1))
    piece = samples[start : start + WINDOW_SAMPLES].astype(np.float64)
    loud = np.sqrt(np.mean(piece**2)) + 1.0
    noisy = piece + random.normal(0, loud * 10 ** (-NOISE_DB / 20), len(piece))
    padded = np.pad(noisy, (0, WINDOW_SAMPLES - len(piece)))
    return np.clip(padded, -32768, 32767).astype(np.int16)


def digest(values: NDArray[np.uint8] | NDArray[np.int16] | str) -> str:
    """What two inputs share when they are the same."""
    data = values.encode() if isinstance(values, str) else np.ascontiguousarray(values).tobytes()
    return hashlib.sha256(data).hexdigest()


def _on(
    ground: Image.Image,
    cut_out: Image.Image,
    share: float,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Image.Image:
    """The ground with the thing on it, at that share of its smaller side."""
    room = (round(ground.width * share), round(ground.height * share))
    scale = min(room[0] / cut_out.width, room[1] / cut_out.height)
    size = (max(1, round(cut_out.width * scale)), max(1, round(cut_out.height * scale)))
    thing = cut_out.convert("RGBA").resize(size, Image.Resampling.BICUBIC)
    left = round((ground.width - size[0]) * (0.5 + shift[0]))
    top = round((ground.height - size[1]) * (0.5 + shift[1]))
    out = ground.convert("RGBA")
    out.alpha_composite(thing, (left, top))
    return out.convert("RGB")


def _window(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))[None]
