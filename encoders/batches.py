"""What every encoder does with a batch before and after its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.card import EncoderCard
from encoders.errors import InputError
from encoders.modality import Modality

Take = Callable[[Any], Tensor]


def in_batches(
    card: EncoderCard,
    takers: Mapping[Modality, Take],
    modality: Modality,
    batch: NDArray[Any] | Sequence[str],
    size: int,
) -> NDArray[np.float32]:
    """(N, D) float32: `takers[modality]` gives unit vectors for at most `size` items at a time.

    No items give no rows. Raises InputError for a sense that is not on the card.
    """
    if modality not in card.modalities or modality not in takers:
        raise InputError(
            f"{card.name} has no tower for {modality}.",
            remedy=f"It has {', '.join(card.modalities)}.",
        )
    if len(batch) == 0:
        return np.empty((0, card.dimension), np.float32)
    take = takers[modality]
    with torch.inference_mode():
        parts = [take(batch[start : start + size]) for start in range(0, len(batch), size)]
        rows: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return rows
