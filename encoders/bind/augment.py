"""The same thing seen and heard anew each time: what must not matter is varied, and nothing else.

Every function takes its own random generator, so that a seed gives the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn import functional as F

from encoders.preprocess.audio import SAMPLE_RATE_HZ

ARTICLES = ("a", "an", "the", "some")
PICTURE_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "this is {}", "{} in a picture")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far things are varied. `crop_least` is the smallest share of the area that is kept,
    `background` the share of cut-out pictures that are put on another ground than white, with up to
    `room` of their side around them."""

    crop_least: float = 0.5
    background: float = 1.0
    room: float = 0.3
    mirror: float = 0.5
    colour: float = 0.3
    grey: float = 0.1
    gain_db: float = 6.0
    noise_db: tuple[float, float] = (10.0, 40.0)
    shift_s: float = 0.5
    repeat: float = 0.5
    mask_share: float = 0.15
    drop_words: float = 0.15

    def pictures_at(self, level: float) -> Augmentation:
        """Pictures varied less: at level 0 in the shape of the crop alone, as far as here at 1."""
        return replace(
            self,
            crop_least=1 - (1 - self.crop_least) * level,
            background=self.background * level,
            mirror=self.mirror * level,
            colour=self.colour * level,
            grey=self.grey * level,
        )


def picture(image: Image.Image, size: int, how: Augmentation, random: Generator) -> Image.Image:
    """(size, size) RGB: background where it is see-through, a crop, a mirror, colours."""
    opaque = over_background(image, how, random)
    width, height = opaque.size
    share = random.uniform(how.crop_least, 1.0)
    ratio = np.exp(random.uniform(-0.22, 0.22))
    side = (share * width * height) ** 0.5
    wide, high = min(width, side * ratio), min(height, side / ratio)
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    box = (left, top, left + wide, top + high)
    crop = opaque.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if random.random() < how.mirror:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < how.grey:
        return crop.convert("L").convert("RGB")
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        crop = change(crop).enhance(random.uniform(1 - how.colour, 1 + how.colour))
    return crop


def over_background(image: Image.Image, how: Augmentation, random: Generator) -> Image.Image:
    """What is cut out, on white, one colour, a gradient or blots, and with room around it."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    cut_out = image.convert("RGBA")
    other = random.random() < how.background
    side = round(max(cut_out.size) * (random.uniform(1.0, 1.0 + how.room) if other else 1.0))
    kind = random.integers(4) if other else 0
    ground = np.full((side, side, 3), 255.0)
    if kind == 1:
        ground[:] = random.uniform(0, 255, 3)
    elif kind == 2:
        ramp = np.linspace(0, 1, side)[:, None, None]
        ground[:] = random.uniform(0, 255, 3) * ramp + random.uniform(0, 255, 3) * (1 - ramp)
    elif kind == 3:
        coarse = random.uniform(0, 255, (8, 8, 3)).astype(np.uint8)
        ground[:] = np.asarray(Image.fromarray(coarse).resize((side, side)))
    canvas = Image.fromarray(ground.astype(np.uint8)).convert("RGBA")
    spare = (side - cut_out.width, side - cut_out.height)
    at = (int(random.uniform(0, spare[0] + 1e-9)), int(random.uniform(0, spare[1] + 1e-9)))
    canvas.alpha_composite(cut_out, at)
    return canvas.convert("RGB")


def sound(
    samples: NDArray[np.int16], length: int, how: Augmentation, random: Generator
) -> NDArray[np.int16]:
    """(length,) from anywhere in the sound, louder or softer, with noise; a shorter one stands
    anywhere in it, or is repeated. Half of it, at least, is heard."""
    if len(samples) < length and random.random() < how.repeat:
        samples = np.tile(samples, -(-length // len(samples)) + 1)
    shift = min(int(how.shift_s * SAMPLE_RATE_HZ), len(samples) // 2)
    spare = len(samples) - length
    start = int(random.integers(min(spare, 0) - shift, max(spare, 0) + shift + 1))
    piece = np.pad(samples[max(start, 0) : start + length].astype(np.float32), (max(-start, 0), 0))
    piece = np.pad(piece, (0, length - len(piece)))
    loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) + 1.0
    noise = random.normal(0, loud * 10 ** (-random.uniform(*how.noise_db) / 20), length)
    gain = 10 ** (random.uniform(-how.gain_db, how.gain_db) / 20)
    return np.clip((piece + noise) * gain, -32768, 32767).astype(np.int16)


def masked(mels: Tensor, how: Augmentation, random: Generator) -> Tensor:
    """(N, 1, bins, frames) with a stripe of time and one of pitch blanked in each (SpecAugment,
    Park et al., 2019)."""
    out = mels.clone()
    for axis, size in ((2, mels.shape[2]), (3, mels.shape[3])):
        for row in out:
            width = int(random.uniform(0, how.mask_share) * size)
            at = int(random.integers(0, size - width + 1))
            row.narrow(axis - 1, at, width).fill_(float(mels.mean()))
    return out


def words(caption: str, templates: Sequence[str], how: Augmentation, random: Generator) -> str:
    """The caption in a template, now and then without some of its words; the first one stays.

    `{}` in a template is the caption, `{noun}` the caption without its article.
    """
    first, *rest = caption.rstrip(" .!").split()
    kept = " ".join([first, *(word for word in rest if random.random() >= how.drop_words)])
    template = templates[int(random.integers(len(templates)))]
    return template.replace("{noun}", without_article(kept)).replace("{}", kept)


def without_article(caption: str) -> str:
    """`A red apple` to `red apple`; an article alone stays."""
    first, _, rest = caption.partition(" ")
    return rest if first.lower() in ARTICLES and rest else caption


def some_tokens(count: int, patches: int, keep: float) -> Tensor | None:
    """(count, K): the class token and a random share of the patches of each; None for all."""
    if keep >= 1:
        return None
    chosen = torch.rand(count, patches).argsort(1)[:, : round(keep * patches)] + 1
    return F.pad(chosen, (1, 0))


def torch_seed(random: Generator) -> int:
    """A seed for torch that follows from the generator."""
    seed = int(random.integers(2**31))
    torch.manual_seed(seed)
    return seed
