"""One modality of a network in steps, so that whoever feeds a device need not wait between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Tensors = tuple[Tensor, ...]


def as_given(*tensors: Tensor) -> Tensors:
    """The preparation of a tower that takes what the host sends."""
    return tensors


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch as pieces on the host, made as they are asked for, and where its rows come from:
    row i of the answer is row `place[i]` of all pieces' rows; None where they are in order."""

    pieces: Iterator[Tensors]
    place: NDArray[np.intp] | None = None


@dataclass(frozen=True, slots=True)
class Tower:
    """Four steps, of which none but the last reads anything back from the device.

    cut        a raw batch and the most items of a piece, to pieces on the host. Row i of every
               tensor of a piece is of one item. Raises InputError.
    prepare    a piece on the device, to what the network takes: any shapes, never captured
    forward    that, to raw vectors (N, ...). Row i depends on row i of what is given, and on
               nothing else of it, so that a batch may be filled up with any rows
    finish     raw vectors on the host, float32, to (N, D) of unit length. Raises BrokenWeights
    examples   raw batches, one of each kind that a run brings, for which `forward` is captured as
               a CUDA graph; none where it cannot be: a graph reads nothing back, and makes no
               tensor on the device from numbers on the host
    """

    cut: Callable[[Any, int], Cut]
    forward: Callable[..., Tensor]
    finish: Callable[[Tensor], Tensor]
    prepare: Callable[..., Tensors] = field(default=as_given)
    examples: Callable[[], Sequence[Any]] = tuple


def sliced(to_host: Callable[[Any], Tensors]) -> Callable[[Any, int], Cut]:
    """A cut into consecutive parts; `to_host` checks one, and makes host tensors of it."""

    def cut(batch: Any, size: int) -> Cut:
        starts = range(0, len(batch), size)
        return Cut(to_host(batch[start : start + size]) for start in starts)

    return cut
