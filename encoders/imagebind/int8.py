"""Linear layers in int8 on a CPU: weights rounded once, activations as they come.

Dynamic quantization (Krishnamoorthi, 2018, section 3.1.2): symmetric weights with a scale for each
output; each activation row is brought to [-1, 1] first, so that one loud token does not cost the
others their digits; sums in int32. A CPU without VNNI adds pairs of products in 16 bits, which
overflow with 8-bit activations (cosine 0.96 to float32 was seen), so it gets 7.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.imagebind.model import ImageBind
from encoders.imagebind.trunk import Attention
from encoders.modality import Modality
from encoders.processor import has_fast_bf16, has_vnni, onednn_has_vnni

LEVELS = 127.0
ITEMS_AT_ONCE = 2


class Int8Linear(nn.Module):
    """(..., in) float32 to (..., out) float32, as the nn.Linear that it replaces."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        wide = weight.detach().float().contiguous()
        scales = wide.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LEVELS
        zeros = torch.zeros(len(wide), dtype=torch.long)
        rounded = torch.quantize_per_channel(wide, scales, zeros, 0, torch.qint8)
        self.reduce_range = not has_vnni()
        self.packed = _packed(rounded, reduce_range=self.reduce_range)
        self.bias = None if bias is None else bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        loudest = x.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        out: Tensor = torch.ops.quantized.linear_dynamic(
            x / loudest, self.packed, reduce_range=self.reduce_range
        )
        if self.bias is None:
            return out.mul_(loudest)
        return torch.addcmul(self.bias, out, loudest, out=out)


def _packed(rounded: Tensor, *, reduce_range: bool) -> Any:
    """For oneDNN where that sums in 32 bits: it is a fifth faster there than FBGEMM, and uses AMX's
    tiles, of which FBGEMM knows nothing. Elsewhere FBGEMM's halved range keeps sums in 16 bits.
    """
    before = torch.backends.quantized.engine
    try:
        if onednn_has_vnni():
            torch.backends.quantized.engine = "onednn"
        packed = torch.ops.quantized.linear_prepack(rounded, None)
    finally:
        torch.backends.quantized.engine = before
    # The weights keep what oneDNN prepares for the first shape that comes, and two threads that ask
    # with that shape at once write into it both: wrong numbers. No batch has one row.
    torch.ops.quantized.linear_dynamic(torch.ones(1, rounded.shape[1]), packed, reduce_range)
    return packed


def attend_in_bf16(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """`F.scaled_dot_product_attention` of (B,H,L,D), its products in bf16: in half the time of the
    fused one in float32, as long as the scores of few items at a time stay in the cache. Of text,
    which looks back alone and is short, it is the fused one.
    """
    if attn_mask is not None or is_causal:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, is_causal=is_causal)
    out = torch.empty_like(q)
    for first in range(0, len(q), ITEMS_AT_ONCE):
        some = slice(first, first + ITEMS_AT_ONCE)
        scaled = (q[some] * q.shape[-1] ** -0.5).bfloat16()
        scores = torch.matmul(scaled, k[some].bfloat16().transpose(-1, -2))
        out[some] = torch.matmul(scores.softmax(-1), v[some].bfloat16())
    return out


def to_int8(model: ImageBind, exact: Collection[Modality] = ()) -> ImageBind:
    """Replace, in place, what attention and the blocks' perceptrons multiply with; `exact` towers
    stay as they are.

    The last block of a trunk computes one token and costs nothing: it stays as it is, and so do
    stems and heads. What was replaced is let go, so that the weights are not in memory twice.
    """
    for modality, trunk in model.modality_trunks.items():
        if modality not in exact:
            for block in list(trunk.get_submodule("blocks").children())[:-1]:
                _replace_block(block)
    return model


def _replace_block(block: nn.Module) -> None:
    attention = block.get_submodule("attn")
    assert isinstance(attention, Attention)
    if has_fast_bf16():
        attention.attend = attend_in_bf16
    attention.in_proj = Int8Linear(attention.in_proj_weight, attention.in_proj_bias)
    for name in ("in_proj_weight", "in_proj_bias"):
        setattr(attention, name, nn.Parameter(torch.empty(0), requires_grad=False))
    _replace(attention, "out_proj")
    perceptron = block.get_submodule("mlp")
    _replace(perceptron, "fc1")
    _replace(perceptron, "fc2")


def _replace(parent: nn.Module, name: str) -> None:
    linear = getattr(parent, name)
    setattr(parent, name, Int8Linear(linear.weight, linear.bias))
