"""ImageBind (Girdhar et al., CVPR 2023): up to six towers into one space.

`ImageBind(HUGE).state_dict()` has the names and shapes of the published checkpoint.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from encoders.errors import InputError
from encoders.imagebind.config import CONTEXT, VOCABULARY, ImageBindConfig, TowerConfig
from encoders.imagebind.stems import ImageStem, ImuStem, TextStem, VisionStem
from encoders.imagebind.trunk import EPS, Trunk
from encoders.inputs import Shape, check_finite, check_ids, check_shape, unit_length
from encoders.modality import Modality

# The reference's output scales; text's alone was learned (appendix B of the paper).
SCALES = {
    Modality.TEXT: 1 / 0.07,
    Modality.AUDIO: 20.0,
    Modality.DEPTH: 5.0,
    Modality.THERMAL: 10.0,
    Modality.IMU: 5.0,
}
MAX_SCALE = 100.0


class ImageBind(nn.Module):
    """`embed` gives unit vectors; `reference` what the published code returns."""

    def __init__(self, config: ImageBindConfig) -> None:
        super().__init__()
        self.config = config
        towers = config.towers.items()
        self.modality_preprocessors = nn.ModuleDict({m: _stem(m, t, config) for m, t in towers})
        self.modality_trunks = nn.ModuleDict(
            {
                m: Trunk(t, pre_norm=m is Modality.VISION, causal=m is Modality.TEXT)
                for m, t in towers
            }
        )
        self.modality_heads = nn.ModuleDict({m: _head(m, t, config.dimension) for m, t in towers})
        self.modality_postprocessors = nn.ModuleDict(
            {m: nn.ModuleDict({"1": _Scale(SCALES[m])}) for m in config.towers if m in SCALES}
        )

    def embed(self, modality: Modality, batch: Tensor) -> Tensor:
        """(N, D) unit-length float32.

        batch: vision (N,3,224,224) or clips (N,S,3,2,224,224); text ids (N,77); audio
        (N,S,1,128,204); depth or thermal (N,1,224,224); imu (N,6,2000). Clips are averaged as the
        reference does, each of unit length. Raises InputError.
        """
        return unit_length(self.reference(modality, batch), "ImageBind")

    def reference(self, modality: Modality, batch: Tensor) -> Tensor:
        """(N, D): unit vectors times the modality's scale, the mean over clips last."""
        clips = self._check(modality, batch)
        if clips:
            batch = batch.flatten(0, 1)
        vectors = unit_length(self.tower(modality, batch), "ImageBind")
        vectors = vectors * self.reference_scale(modality)
        return vectors.unflatten(0, (-1, clips)).mean(1) if clips else vectors

    def tower(
        self,
        modality: Modality,
        batch: Tensor,
        *,
        tokens: int | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """(N, D), not normalised, without clips; the network alone, for those who batch.

        `tokens`, of text alone: how many of the 77 are computed, where the caller knows; nothing
        is read back from the device then, as a captured graph demands. `keep` (N,K): the tokens,
        class token first, that a training computes (FLIP; Li et al., CVPR 2023).
        """
        pool = torch.zeros(len(batch), dtype=torch.long, device=batch.device)
        if modality == Modality.TEXT:
            # The end token has the highest id. Attention is causal: what comes after the last end
            # token of the batch cannot change anything, so it is not computed.
            pool = batch.argmax(-1)
            batch = batch[:, : int(pool.max()) + 1 if tokens is None else tokens]
        x = self.modality_preprocessors[modality](batch)
        if keep is not None:
            x = x[torch.arange(len(x), device=x.device)[:, None], keep]
        head: Tensor = self.modality_heads[modality](self.modality_trunks[modality](x, pool))
        return head

    def patches(self, batch: Tensor) -> Tensor:
        """(N,3,224,224) to (N,256,D): each patch of 14 x 14, row by row, through the head, of unit
        length. Raises InputError."""
        self._check(Modality.VISION, batch)
        tokens = self.modality_preprocessors["vision"](batch)
        every = self.modality_trunks["vision"](tokens, None)
        return unit_length(self.modality_heads["vision"](every[:, 1:]), "ImageBind")

    def reference_scale(self, modality: Modality) -> float:
        """The reference's output scale; 1 for vision. It is not part of stored vectors."""
        if modality not in SCALES:
            return 1.0
        scale = self.modality_postprocessors[modality]["1"]  # type: ignore[index]
        return min(math.exp(float(scale.log_logit_scale)), MAX_SCALE)

    def is_beside(self, name: str) -> bool:
        """Whether a checkpoint's entry belongs to a tower that this network was built without."""
        return any(f".{m}." in name for m in Modality if m not in self.config.towers)

    def _check(self, modality: Modality, batch: Tensor) -> int:
        """How many clips an item has; 0 where it has none. Raises InputError."""
        if modality not in self.config.towers:
            raise InputError(
                f"This network has no tower for {modality}.",
                remedy=f"It has {', '.join(self.config.towers)}.",
            )
        shapes = _shapes(Modality(modality), self.config.image_size)
        check_shape(modality, batch, *shapes)
        if modality == Modality.TEXT:
            check_ids("Token ids", batch, VOCABULARY)
        else:
            check_finite(modality, batch)
        return batch.shape[1] if batch.dim() > len(shapes[0]) else 0


class _Scale(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("log_logit_scale", torch.tensor(math.log(scale)))


class _TextHead(nn.Module):
    """The same head as the others', under the names that the published text head has."""

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(width, eps=EPS), nn.Linear(width, dimension, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


def _head(modality: Modality, tower: TowerConfig, dimension: int) -> nn.Module:
    if modality is Modality.TEXT:
        return _TextHead(tower.width, dimension)
    norm = nn.LayerNorm(tower.width, eps=EPS)
    linear = nn.Linear(tower.width, dimension, bias=False)
    # The reference selects the class token at index 1 (and drops out at 2 for IMU); no weights.
    gap = [nn.Identity()] * (2 if modality is Modality.IMU else 1)
    return nn.Sequential(norm, *gap, linear)


def _shapes(modality: Modality, side: int) -> tuple[Shape, ...]:
    """What a batch is: one item a row, or several clips of one, averaged."""
    if modality is Modality.VISION:
        return ((None, 3, side, side), (None, None, 3, 2, side, side))
    if modality is Modality.TEXT:
        return ((None, CONTEXT),)
    if modality is Modality.AUDIO:
        return ((None, 1, 128, 204), (None, None, 1, 128, 204))
    if modality is Modality.IMU:
        return ((None, 6, 2000),)
    return ((None, 1, 224, 224),)


def _stem(modality: Modality, tower: TowerConfig, config: ImageBindConfig) -> nn.Module:
    width = tower.width
    if modality is Modality.VISION:
        return VisionStem(width, config.image_size)
    if modality is Modality.TEXT:
        return TextStem(width, config.vocabulary)
    if modality is Modality.AUDIO:
        return ImageStem(width, "rgbt_stem", 10, 12 * 19 + 1)
    if modality is Modality.IMU:
        return ImuStem(width)
    stem = "depth_stem" if modality is Modality.DEPTH else "rgbt_stem"
    return ImageStem(width, stem, 16, 14 * 14 + 1)
