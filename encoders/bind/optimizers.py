"""Optimizers and learning rates of a training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from encoders.bind.muon import Muon

# The group's rate at its height; what is in "lr" follows the schedule.
HEIGHT = "height"


def optimizers_for(
    model: nn.Module,
    free: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    matrix_rate: float = 0.0,
) -> list[torch.optim.Optimizer]:
    """AdamW for everything that learns; `free` parameters beside the network do not decay.

    With a `matrix_rate`, the matrices inside the transformers' blocks go to Muon, at that rate.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    inner = [p for name, p in named if matrix_rate and p.dim() == 2 and ".blocks." in name]
    taken = {id(p) for p in inner}
    outer = [p for _, p in named if p.dim() > 1 and id(p) not in taken]
    rest = [p for _, p in named if p.dim() <= 1]
    groups = [
        {"params": outer, "weight_decay": weight_decay},
        {"params": [*rest, *free], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    optimizers: list[torch.optim.Optimizer] = [adam]
    if inner:
        optimizers.append(Muon(inner, lr=matrix_rate))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group[HEIGHT] = group["lr"]
    return optimizers


def height_at(progress: float, warm_up_share: float) -> float:
    """From 0 to 1 in a line, then down by a cosine (Loshchilov and Hutter, 2017)."""
    if progress < warm_up_share:
        return progress / warm_up_share
    left = (progress - warm_up_share) / (1 - warm_up_share)
    return (1 + math.cos(math.pi * left)) / 2


def step_by(
    optimizers: Sequence[torch.optim.Optimizer], model: nn.Module, loss: torch.Tensor, height: float
) -> None:
    """One step of all of them down the loss, gradients clipped to a norm of 1."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
        for group in optimizer.param_groups:
            group["lr"] = group[HEIGHT] * height
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()


def load_optimizers(optimizers: Sequence[torch.optim.Optimizer], states: object) -> None:
    """Go on from what their `state_dict` gave. Raises ValueError where it is of others."""
    if not isinstance(states, list) or len(states) != len(optimizers):
        raise ValueError("the optimizers' state is of another training")
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
