"""Vectors that were asked for and may be on their way. Without torch: the processes that decode and
write import this with the stage that encodes, and have no other use for two hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from encoders.modality import Modality
from encoders.protocol import Encoder

if TYPE_CHECKING:
    from encoders.device_feed import DeviceFeed

Rows = NDArray[np.float32]
Batch = NDArray[Any] | Sequence[str]


class Pending:
    """Vectors that were asked for."""

    def __init__(self, make: Callable[[], Rows]) -> None:
        self._make = make
        self._rows: Rows | None = None

    def result(self) -> Rows:
        """(N, D) float32 of unit length, when they are there; batches may be asked in any order.
        Raises what the batch raised, and nothing of another batch's."""
        if self._rows is None:
            self._rows = self._make()
        return self._rows


@runtime_checkable
class FedEncoder(Protocol):
    """An encoder whose batches may be submitted ahead."""

    @property
    def feed(self) -> DeviceFeed: ...


def submitted(encoder: Encoder, modality: Modality, batch: Callable[[], Batch]) -> Pending:
    """Begin to encode; where nothing works ahead, the batch is made and encoded when its result is
    asked for. What is wrong with it, its result raises."""
    if not isinstance(encoder, FedEncoder) or not encoder.feed.batches_ahead:
        return Pending(lambda: encoder.encode(modality, batch()))
    try:
        return encoder.feed.submit(modality, batch())
    except MemoryError as error:
        return Pending(partial(raised, error))


def raised(error: Exception) -> Rows:
    """The result of a batch that could not be begun."""
    raise error
