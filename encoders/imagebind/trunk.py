"""The transformer that every tower is: pre-norm blocks, fused attention, state dict as published.

The last block is computed only at the token that the head reads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.imagebind.config import TowerConfig
from encoders.network import Mlp

EPS = 1e-6
Attend = Callable[..., Tensor]
"""As `F.scaled_dot_product_attention`, by its first five parameters."""


class Attention(nn.Module):
    """Multi-head attention with `nn.MultiheadAttention`'s parameters and its bias key and value."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.bias_k = nn.Parameter(torch.zeros(1, 1, width)) if config.bias_kv else None
        self.bias_v = nn.Parameter(torch.zeros(1, 1, width)) if config.bias_kv else None
        self.out_proj = nn.Linear(width, width)
        self.in_proj: nn.Module | None = None  # takes the place of the two above: int8.py
        self.attend: Attend = F.scaled_dot_product_attention

    def forward(self, x: Tensor, pool: Tensor | None, causal: bool) -> Tensor:
        """x (B,L,D) to (B,L,D); with `pool` (B,) to (B,1,D), the query at that token alone."""
        batch, length, width = x.shape
        if pool is None:
            if self.in_proj is None:
                projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
            else:
                projected = self.in_proj(x)
            q, k, v = projected.chunk(3, dim=-1)
        else:
            at = x[torch.arange(batch, device=x.device), pool].unsqueeze(1)
            q = F.linear(at, self.in_proj_weight[:width], self.in_proj_bias[:width])
            kv = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:])
            k, v = kv.chunk(2, dim=-1)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(batch, -1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.expand(batch, -1, -1)], dim=1)
        mask = None
        if causal and pool is not None:
            mask = (torch.arange(length, device=x.device) <= pool[:, None])[:, None, None, :]
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = self.attend(q, k, v, attn_mask=mask, is_causal=causal and pool is None)
        attended: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return attended


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP of four times the width."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.norm_1 = nn.LayerNorm(config.width, eps=EPS)
        self.mlp = Mlp(config.width)
        self.norm_2 = nn.LayerNorm(config.width, eps=EPS)

    def forward(self, x: Tensor, pool: Tensor | None, causal: bool) -> Tensor:
        attended = self.attn(self.norm_1(x), pool, causal)
        if pool is not None:
            x = x[torch.arange(len(x), device=x.device), pool].unsqueeze(1)
        x = x + attended
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


class Trunk(nn.Module):
    """Tokens (B,L,D) and the token to read, `pool` (B,), to (B,D); without `pool` to (B,L,D)."""

    def __init__(self, config: TowerConfig, *, pre_norm: bool, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        if pre_norm:
            self.pre_transformer_layer = nn.Sequential(nn.LayerNorm(config.width, eps=EPS))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))

    def forward(self, x: Tensor, pool: Tensor | None) -> Tensor:
        if hasattr(self, "pre_transformer_layer"):
            x = self.pre_transformer_layer(x)
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            x = block(x, pool if number == last else None, self.causal)
        return x if pool is None else x[:, 0]
