"""Few-shot classification: a linear probe on stored vectors (ImageBind, section 4.3, table 4).

Multinomial logistic regression with an L2 penalty, solved to its one optimum: the same vectors give
the same probe. No network is run; vectors come from the index or from Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from encoders.applications.zero_shot import softmax
from encoders.errors import InputError

STEPS = 200


@dataclass(frozen=True, slots=True)
class Probe:
    """`weights` (L, D) and `bias` (L,), for the labels in their order."""

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) to (N, L), each row adding up to 1. Raises InputError."""
        if vectors.ndim != 2 or vectors.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"Vectors are {vectors.shape}.",
                remedy=f"The probe was fitted on {self.weights.shape[1]} dimensions.",
            )
        return softmax(vectors @ self.weights.T + self.bias)

    def predict(self, vectors: NDArray[np.float32]) -> list[str]:
        """The best label of each vector."""
        return [self.labels[int(i)] for i in self.scores(vectors).argmax(1)]


def fit_probe(
    vectors: NDArray[np.float32], labels: Sequence[str], *, penalty: float = 1e-3
) -> Probe:
    """(N, D) vectors with N labels, two different ones at least. Raises InputError."""
    names = tuple(sorted(set(labels)))
    if vectors.ndim != 2 or len(vectors) != len(labels) or len(names) < 2:
        raise InputError(
            f"{len(labels)} labels, {len(names)} of them different, for vectors {vectors.shape}.",
            remedy="Give (N, D) vectors with N labels, two different ones at least.",
        )
    if not np.isfinite(vectors).all() or penalty <= 0:
        raise InputError("A probe takes finite vectors and a penalty above nought.")
    number = {name: i for i, name in enumerate(names)}
    x = torch.from_numpy(np.ascontiguousarray(vectors)).double()
    y = torch.tensor([number[label] for label in labels])
    weights = torch.zeros(len(names), x.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(len(names), dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = F.cross_entropy(x @ weights.T + bias, y) + penalty / 2 * weights.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return Probe(
        names,
        weights.detach().float().numpy(),
        bias.detach().float().numpy(),
    )
