"""Frozen in Time's shape as data: the published one, and a small one of the same architecture."""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_SIZE = 224
PATCH_SIZE = 16
PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2


@dataclass(frozen=True, slots=True)
class TextConfig:
    """DistilBERT (Sanh et al., 2019); the vocabulary is that of `bert-base-uncased`."""

    width: int
    blocks: int
    heads: int
    hidden: int
    vocabulary: int = 30_522
    positions: int = 512


@dataclass(frozen=True, slots=True)
class FrozenInTimeConfig:
    """`width`, `blocks` and `heads` are the video tower's; `frames` is the most that it takes."""

    dimension: int
    width: int
    blocks: int
    heads: int
    frames: int
    text: TextConfig

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; an image is a video of one frame")


# Section 4 of the paper: a ViT-B/16 whose blocks attend over time and then over space.
BASE = FrozenInTimeConfig(256, 768, 12, 12, 4, TextConfig(768, 6, 12, 3072))
TINY = FrozenInTimeConfig(32, 48, 2, 4, 4, TextConfig(48, 2, 4, 96))
