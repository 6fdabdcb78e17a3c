"""Symmetric InfoNCE (ImageBind, section 3.2, equation 1; van den Oord et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import InputError


def info_nce(pictures: Tensor, others: Tensor, scale: Tensor | float, same: Tensor) -> Tensor:
    """The mean of both directions' cross-entropy, a scalar.

    pictures, others (N, D) of unit length, row i of one belonging to row i of the other; `scale`
    what cosines are multiplied by (1 over the temperature); `same` (N,) numbers of what a row
    shows: rows with the same number are not each other's negatives. Raises InputError.
    """
    if pictures.shape != others.shape or pictures.dim() != 2 or len(same) != len(pictures):
        raise InputError(
            f"Pairs are {tuple(pictures.shape)}, {tuple(others.shape)} and {len(same)}.",
            remedy="Give (N, D) twice, and N numbers.",
        )
    logits = scale * (pictures @ others.T)
    alike = same[:, None] == same[None]
    alike.fill_diagonal_(False)
    logits = logits.masked_fill(alike, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
