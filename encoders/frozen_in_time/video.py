"""The space-time transformer (Bain et al., ICCV 2021, section 3.1), state dict as published.

A block attends over time (each patch to itself in the other frames), then over space (each patch to
those of its frame), and adds the second to the block's input: the first has no residual of its own,
which lets an image-trained transformer be taken as it is. The class token attends to everything and
everything to it. Shapes: B batch, F frames, P patches a frame, D width, h heads, d = D / h.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.frozen_in_time.config import PATCH_SIZE, PATCHES, FrozenInTimeConfig
from encoders.network import Mlp

EPS = 1e-6


class DividedAttention(nn.Module):
    """Attention over one of the two axes, the class token's over both."""

    def __init__(self, width: int, heads: int, *, over_time: bool) -> None:
        super().__init__()
        self.heads = heads
        self.over_time = over_time
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B, 1+F*P, D) to the same."""
        batch = len(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)) for t in self.qkv(x).chunk(3, dim=-1))
        read = _attend(q[:, :1], k, v)
        groups = (self._grouped(t[:, 1:], t[:, :1], frames) for t in (k, v))
        out = _attend(self._grouped(q[:, 1:], None, frames), *groups)
        patches = self._ungrouped(out, batch, frames)
        projected: Tensor = self.proj(torch.cat([read, patches], dim=1).flatten(2))
        return projected

    def class_token(self, x: Tensor) -> Tensor:
        """(B, 1+F*P, D) to (B, 1, D): the class token alone, where nothing else is read."""
        width = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = F.linear(x[:, :1], weight[:width], bias[:width]).unflatten(-1, (self.heads, -1))
        kv = F.linear(x, weight[width:], bias[width:])
        k, v = (t.unflatten(-1, (self.heads, -1)) for t in kv.chunk(2, dim=-1))
        projected: Tensor = self.proj(_attend(q, k, v).flatten(2))
        return projected

    def _grouped(self, patches: Tensor, cls: Tensor | None, frames: int) -> Tensor:
        """(B,F*P,h,d) to (B*P,F,h,d) over time, (B*F,P,h,d) over space, the class token first."""
        grid = patches.unflatten(1, (frames, -1))
        if self.over_time:
            grid = grid.transpose(1, 2)
        groups = grid.shape[1]
        if cls is not None:
            grid = torch.cat([cls[:, None].expand(-1, groups, -1, -1, -1), grid], dim=2)
        merged: Tensor = grid.flatten(0, 1)
        return merged

    def _ungrouped(self, out: Tensor, batch: int, frames: int) -> Tensor:
        grid = out.unflatten(0, (batch, -1))
        if self.over_time:
            grid = grid.transpose(1, 2)
        assert grid.shape[1] == frames
        merged: Tensor = grid.flatten(1, 2)
        return merged


class SpaceTimeBlock(nn.Module):
    """Attention over time, then over space, then an MLP (Bain et al., ICCV 2021, section 3.1)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = DividedAttention(width, heads, over_time=False)
        self.timeattn = DividedAttention(width, heads, over_time=True)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width)
        self.norm3 = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, frames: int, *, last: bool) -> Tensor:
        """(B, 1+F*P, D) to the same, or to (B, 1, D) where only the class token is read."""
        timed = self.norm1(x + self.timeattn(self.norm3(x), frames))
        x = x[:, :1] + self.attn.class_token(timed) if last else x + self.attn(timed, frames)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Patches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """(B,F,3,224,224) to (B,F,P,D)."""
        tokens = self.proj(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        out: Tensor = tokens.unflatten(0, x.shape[:2])
        return out


class SpaceTimeTransformer(nn.Module):
    """(B,F,3,224,224), F up to `config.frames`, to (B,D)."""

    def __init__(self, config: FrozenInTimeConfig) -> None:
        super().__init__()
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PATCHES, width))
        self.temporal_embed = nn.Parameter(torch.zeros(1, config.frames, width))
        self.patch_embed = _Patches(width)
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(width, config.heads) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        where = self.pos_embed[:, None, 1:] + self.temporal_embed[:, :frames, None]
        patches = (self.patch_embed(x) + where).flatten(1, 2)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([cls, patches], dim=1)
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, frames, last=number == last)
        out: Tensor = self.norm(tokens[:, 0])
        return out


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B,Q,h,d), (B,L,h,d) twice, to (B,Q,h,d)."""
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
