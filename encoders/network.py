"""Parts that networks share: a transformer's perceptron, and the dtype of their tensors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    """(..., D) to the same, through 4 D (Vaswani et al., 2017, section 3.3; GELU as ViT has it)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def to_dtype(
    model: nn.Module, device: torch.device, dtype: torch.dtype, exact: Iterable[nn.Module] = ()
) -> None:
    """Turn the network's floating-point tensors, in place, into `dtype`, those of the `exact`
    modules into float32, and move it to the device.

    A rotary table's inverse frequencies are multiplied with positions to give phases, of which
    bf16 keeps nothing past some hundred tokens: the library computes them in float32, and `.to`
    would have rounded them before.
    """
    kept = {id(t) for module in exact for t in (*module.parameters(), *module.buffers())}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.is_floating_point():  # by `data`: one that is shared goes on being shared
                wanted = torch.float32 if id(parameter) in kept else dtype
                parameter.data = parameter.data.to(wanted)
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point() and not name.endswith("inv_freq"):
                setattr(module, name, buffer.to(torch.float32 if id(buffer) in kept else dtype))
    model.to(device)
