"""Batches for every encoder: checked, cut to size, encoded, of unit length."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.card import EncoderCard
from encoders.errors import InputError
from encoders.modality import Modality

Take = Callable[[Any], Tensor]

# With fewer items a core, all cores at one item are quicker than each at its own.
ITEMS_PER_CORE = 4


def in_batches(
    card: EncoderCard,
    takers: Mapping[Modality, Take],
    modality: Modality,
    batch: NDArray[Any] | Sequence[str],
    size: int,
    cores: int = 1,
    *,
    small: bool = False,
) -> NDArray[np.float32]:
    """(N, D) float32: `takers[modality]` gives unit vectors for at most `size` items at a time.

    With several `cores`, and enough items, each of them has a part of its own, all together no more
    than `size`: all cores at one batch wait for each other in every layer (docs/performance.md). Of
    a `small` network few items are one core's: it is done before others have begun, and waits for
    none that something else keeps busy. No items give no rows. Raises InputError for a modality
    that is not on the card.
    """
    check_modality(card, takers, modality)
    if len(batch) == 0:
        return np.empty((0, card.dimension), np.float32)
    take = takers[modality]
    workers = min(cores, len(batch) // ITEMS_PER_CORE)
    if workers < cores:
        workers = max(1, workers) if small else 0
    beside = cores > 1 and workers > 0
    if beside:
        size = max(1, min(size // workers, -(-len(batch) // workers)))
    pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
    with torch.inference_mode():
        parts = _side_by_side(take, pieces, workers) if beside else list(map(take, pieces))
        rows: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return rows


def check_modality(card: EncoderCard, towers: Collection[Modality], modality: Modality) -> None:
    """Raises InputError for a modality that is not on the card, or was not built."""
    if modality not in card.modalities or modality not in towers:
        raise InputError(
            f"{card.name} has no tower for {modality}.",
            remedy=f"It has {', '.join(card.modalities)}.",
        )


def _side_by_side(take: Take, pieces: Sequence[Any], cores: int) -> list[Tensor]:
    """Each piece in a thread that has one core."""
    before = torch.get_num_threads()

    def work(piece: Any) -> Tensor:
        with torch.inference_mode():  # is a thread's own
            return take(piece)

    try:
        with ThreadPoolExecutor(cores, "encode", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(before)  # what threads that are still to come begin with
