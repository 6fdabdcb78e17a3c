"""Checks every batch before a network sees it, and every vector that comes out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import BrokenWeights, InputError

Shape = tuple[int | None, ...]


def check_shape(what: str, batch: Tensor, *wanted: Shape) -> None:
    """Raises InputError unless the shape is one of `wanted`; None is any size above nought."""
    if not isinstance(batch, Tensor):
        raise InputError(f"A batch of {what} is a {type(batch).__name__}.", remedy="Give a tensor.")
    if any(_fits(tuple(batch.shape), shape) for shape in wanted):
        return
    problem = "is empty" if 0 in batch.shape else f"has shape {tuple(batch.shape)}"
    shapes = " or ".join(
        f"({', '.join('N' if size is None else str(size) for size in shape)})" for shape in wanted
    )
    raise InputError(f"A batch of {what} {problem}.", remedy=f"Give {shapes}, N above 0.")


def check_ids(what: str, ids: Tensor, vocabulary: int) -> None:
    """Raises InputError unless every one is a whole number within the vocabulary."""
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise InputError(f"{what} are {ids.dtype}.", remedy="Token ids are whole numbers.")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise InputError(
            f"{what} reach from {low} to {high}.", remedy=f"The vocabulary has {vocabulary}."
        )


def check_finite(what: str, batch: Tensor) -> None:
    """Raises InputError for whole numbers, NaN and infinity; names the first row that has one."""
    if not batch.is_floating_point():
        raise InputError(
            f"A batch of {what} is {batch.dtype}.",
            remedy="Give it in floating point, normalised as encoders.preprocess does.",
        )
    finite = torch.isfinite(batch).flatten(1).all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise InputError(
            f"A batch of {what} has NaN or infinity in row {row}.", remedy="Drop or mend that row."
        )


def unit_length(vectors: Tensor, whose: str) -> Tensor:
    """(N, D) float32, each row of length 1. Raises BrokenWeights rather than hand out a NaN."""
    vectors = vectors.float()
    lengths = vectors.norm(dim=-1)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise BrokenWeights(
            f"{whose} made a vector that is not finite, or of no length, from sound input.",
            remedy="The checkpoint is damaged or too large for its precision; get it again.",
        )
    return F.normalize(vectors, dim=-1)


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        size > 0 if want is None else size == want for size, want in zip(shape, wanted, strict=True)
    )
