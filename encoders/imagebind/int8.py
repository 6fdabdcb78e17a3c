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

from encoders.imagebind.model import ImageBind
from encoders.imagebind.trunk import Attention
from encoders.modality import Modality

LEVELS = 127.0


class Int8Linear(nn.Module):
    """(..., in) float32 to (..., out) float32, as the nn.Linear that it replaces."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        wide = weight.detach().float().contiguous()
        scales = wide.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LEVELS
        zeros = torch.zeros(len(wide), dtype=torch.long)
        rounded = torch.quantize_per_channel(wide, scales, zeros, 0, torch.qint8)
        self.packed: Any = torch.ops.quantized.linear_prepack(rounded, None)
        self.bias = None if bias is None else bias.detach().float()
        self.reduce_range = not has_vnni()

    def forward(self, x: Tensor) -> Tensor:
        loudest = x.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        out: Tensor = torch.ops.quantized.linear_dynamic(
            x / loudest, self.packed, reduce_range=self.reduce_range
        )
        out *= loudest
        return out if self.bias is None else out.add_(self.bias)


def has_vnni() -> bool:
    """Whether this CPU sums products of bytes in 32 bits."""
    return bool(torch.cpu._is_vnni_supported())


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
