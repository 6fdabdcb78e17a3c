"""Muon (Jordan et al., 2024): momentum whose every matrix is made orthogonal before it is added.

torch has one, which computes in bfloat16: on a CPU without bf16 units a step of it takes minutes.
This one stays in the parameters' own precision, and takes matrices of one shape together.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

ITERATIONS = 5
# The quintic of the paper: steep at nought, near one from there on.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """For the inner matrices of transformers; a (3D, D) one is taken as query, key and value."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay as they are."""
        for group in self.param_groups:
            updates = [
                (target, update)
                for parameter in group["params"]
                if parameter.grad is not None
                for target, update in self._updates(parameter, group["momentum"])
            ]
            for shape in sorted({tuple(update.shape) for _, update in updates}):
                same = [(t, u) for t, u in updates if tuple(u.shape) == shape]
                steps = orthogonal(torch.stack([update for _, update in same]))
                taller = max(1.0, shape[0] / shape[1]) ** 0.5
                for (target, _), step in zip(same, steps, strict=True):
                    target.sub_(step, alpha=group["lr"] * taller)

    def _updates(self, parameter: Tensor, momentum: float) -> list[tuple[Tensor, Tensor]]:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        grad = parameter.grad
        if grad is None:
            return []
        state["momentum"].lerp_(grad, 1 - momentum)
        update = grad.lerp(state["momentum"], momentum)
        parts = 3 if parameter.shape[0] == 3 * parameter.shape[1] else 1
        return list(zip(parameter.chunk(parts), update.chunk(parts), strict=True))


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, R, C) to the nearest matrices of which all singular values are near one (0.7 to 1.2)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    out: Tensor = x.mT if tall else x
    return out
