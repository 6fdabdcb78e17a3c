"""From a modality's input to tokens (Girdhar et al., CVPR 2023, section 3.3 and appendix B).

The modules' names are those of the published state dict. Shapes: B batch, D width, L tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.imagebind.config import CONTEXT, VISION_PATCH, VOCABULARY


class PatchProjection(nn.Module):
    """A convolution or a linear map, then a LayerNorm where the modality has one."""

    def __init__(self, proj: nn.Module, norm_width: int | None) -> None:
        super().__init__()
        self.proj = proj
        if norm_width is not None:
            self.norm_layer = nn.LayerNorm(norm_width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.proj(x)
        if tokens.dim() > 3:
            tokens = tokens.flatten(2).transpose(1, 2)
        normed: Tensor = self.norm_layer(tokens) if hasattr(self, "norm_layer") else tokens
        return normed


class PositionTable(nn.Module):
    """A learned position for each patch, and for the class token before them."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))


class VisionStem(nn.Module):
    """(B,3,S,S) or (B,3,2,S,S) to (B,L,D): patches of 2 x 14 x 14, and a class token (L is 257 for
    a side of 224)."""

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        patch = (2, VISION_PATCH, VISION_PATCH)
        conv = nn.Conv3d(3, width, patch, stride=patch, bias=False)
        # Index 0 of the reference's stem is the doubling of a still image; it has no weights.
        self.rgbt_stem = PatchProjection(nn.Sequential(nn.Identity(), conv), None)
        tokens = (image_size // VISION_PATCH) ** 2 + 1
        self.pos_embedding_helper = PositionTable(tokens, width)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.rgbt_stem.proj[1].weight  # type: ignore[index]
        if x.dim() == 4:
            # A still is two equal frames: add the kernel's halves instead of doubling the image.
            patches = F.conv2d(x, kernel.sum(2), stride=VISION_PATCH)
        else:
            patches = F.conv3d(x, kernel, stride=(2, VISION_PATCH, VISION_PATCH))
        tokens = patches.flatten(2).transpose(1, 2)
        return _with_class(tokens, self.cls_token, self.pos_embedding_helper.pos_embed)


class ImageStem(nn.Module):
    """Audio (B,1,128,204), depth and thermal (B,1,224,224): one channel, patches of 16 x 16."""

    def __init__(self, width: int, stem: str, stride: int, tokens: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        conv = nn.Conv2d(1, width, 16, stride=stride, bias=False)
        self.stem_name = stem
        self.add_module(stem, PatchProjection(conv, width))
        self.pos_embedding_helper = PositionTable(tokens, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.get_submodule(self.stem_name)(x)
        return _with_class(tokens, self.cls_token, self.pos_embedding_helper.pos_embed)


class ImuStem(nn.Module):
    """(B,6,2000) to (B,251,D): 250 steps of 8 samples of 6 channels, and a class token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 251, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.imu_stem = PatchProjection(nn.Linear(48, width, bias=False), width)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unfold(-1, 8, 8).transpose(1, 2).flatten(2)
        return _with_class(self.imu_stem(steps), self.cls_token, self.pos_embed)


class TextStem(nn.Module):
    """Token ids (B,L), L <= 77, to (B,L,D)."""

    mask: Tensor
    known_ids: Tensor

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, CONTEXT, width))
        # On the meta device, where networks are built, torch's `triu`, `arange` and `normal_`
        # import its compiler: two seconds of every start. Weights are read: the table needs no
        # first values. The mask is here for its name only: attention is told to be causal.
        mask = np.triu(np.full((CONTEXT, CONTEXT), -np.inf, dtype=np.float32), 1)
        self.register_buffer("mask", torch.from_numpy(mask))
        self.token_embedding = nn.Embedding.from_pretrained(
            torch.zeros(vocabulary, width), freeze=False
        )
        self.knows_all = vocabulary == VOCABULARY
        if not self.knows_all:
            # CLIP's ids of the tokens that are known, rising; row 0 stands for all others.
            self.register_buffer("known_ids", torch.from_numpy(np.arange(vocabulary)))

    def forward(self, ids: Tensor) -> Tensor:
        if not self.knows_all:
            at = torch.searchsorted(self.known_ids, ids.contiguous()).clamp(
                max=len(self.known_ids) - 1
            )
            ids = torch.where(self.known_ids[at] == ids, at, 0)
        tokens: Tensor = self.token_embedding(ids)
        return tokens + self.pos_embed[:, : ids.shape[1]]


def _with_class(tokens: Tensor, cls: Tensor, positions: Tensor) -> Tensor:
    return torch.cat([cls.expand(len(tokens), -1, -1), tokens], dim=1) + positions
