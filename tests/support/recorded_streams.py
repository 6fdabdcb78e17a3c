"""A double of a GPU's streams: work is done at once, its rows are given out when they are waited
for, and what was done when is noted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

from encoders.streams import Arrival
from encoders.tower import Tensors


class RecordedStreams:
    """`events` holds up 0, down 0, up 1 and so on, numbered by piece, and each first wait."""

    def __init__(self, in_flight: int = 2) -> None:
        self.in_flight = in_flight
        self.events: list[str] = []
        self._pieces = 0

    def upload(self, tensors: Tensors) -> Tensors:
        self.events.append(f"up {self._pieces}")
        # The host's are free at once, as with pinned memory: who writes into them changes nothing.
        return tuple(tensor.clone() for tensor in tensors)

    def computing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def download(self, rows: Tensor) -> Arrival:
        self.events.append(f"down {self._pieces}")
        self._pieces += 1
        return _Recorded(self, self._pieces - 1, rows.clone())

    def most_under_way(self) -> int:
        """The largest number of pieces that were on their way together."""
        under_way: set[str] = set()
        most = 0
        for event in self.events:
            what, number = event.split()
            if what == "up":
                under_way.add(number)
            elif what == "wait":
                under_way.discard(number)
            most = max(most, len(under_way))
        return most


class _Recorded:
    def __init__(self, streams: RecordedStreams, number: int, rows: Tensor) -> None:
        self._streams = streams
        self._number = number
        self._rows = rows

    def wait(self) -> Tensor:
        event = f"wait {self._number}"
        if event not in self._streams.events:
            self._streams.events.append(event)
        return self._rows
