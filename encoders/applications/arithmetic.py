"""Arithmetic of embeddings: "this picture and that sound, without those words" (ImageBind, 4.4)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InputError

SHORTEST = 1e-9


def weighted_sum(terms: Iterable[tuple[NDArray[np.float32], float]]) -> NDArray[np.float32]:
    """(D,) of unit length: vectors of any modalities of one space times their weights, negative
    ones taken away. Raises InputError where there is none, they differ in size, or cancel out."""
    listed = [(np.asarray(vector, np.float64), weight) for vector, weight in terms]
    if not listed:
        raise InputError("A sum has no terms.", remedy="Give one at least.")
    sizes = {vector.shape for vector, _ in listed}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise InputError(
            f"The terms have shapes {sorted(sizes)}.", remedy="Take them of one space."
        )
    total = sum((weight * vector for vector, weight in listed), start=np.zeros(next(iter(sizes))))
    length = float(np.linalg.norm(total))
    if not length > SHORTEST:
        raise InputError("The terms cancel out.", remedy="Change a weight.")
    return (total / length).astype(np.float32)
