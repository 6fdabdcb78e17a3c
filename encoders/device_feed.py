"""Batches to a network's device and vectors back, several at a time: the one way that every encoder
goes, in a run, in a search, in a proof and in a benchmark.

A batch that is submitted is cut into pieces. On a GPU each is put into pinned memory, copied by a
stream of its own while the piece before is computed, filled up to a size whose forward was captured
(`DeviceFeed.capture`), and its vectors are on their way back when `submit` returns. On a CPU there
are no streams and nothing is filled up: a batch is computed when its result is asked for, by as
many threads as there are cores.

Nothing is compiled. `torch.compile` fuses what bf16 would have rounded in between, so that a proof
of the eager network (`encoders/precision_proof.py`) would not hold for it; a graph replays the very
kernels that were proved.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.batches import check_modality, in_batches
from encoders.captured import CapturedForward, padded_sizes
from encoders.card import EncoderCard
from encoders.errors import EncoderError
from encoders.modality import Modality
from encoders.pending import Batch, Pending, Rows, raised
from encoders.streams import Arrival, CudaStreams, NoStreams, Streams
from encoders.tower import Tensors, Tower

# Of a form: which tower, and the shape of one item of what its network takes.
Kind = tuple[Modality, tuple[tuple[int, ...], ...]]
logger = logging.getLogger(__name__)


class DeviceFeed:
    """Feeds one network's towers. `max_batch` bounds what one forward takes; `cores` of a CPU each
    have a part of their own, of a `small` network one of them few items. May be called from several
    threads."""

    def __init__(
        self,
        card: EncoderCard,
        device: torch.device,
        towers: Mapping[Modality, Tower],
        max_batch: int,
        *,
        cores: Callable[[], int] = lambda: 1,
        small: bool = False,
        streams: Streams | None = None,
    ) -> None:
        self._card = card
        self._device = device
        self.towers = towers
        self._max_batch = max_batch
        self._cores = cores
        self._small = small
        if streams is None:
            streams = CudaStreams(device) if device.type == "cuda" else NoStreams()
        self._streams = streams
        self._under_way: deque[Arrival] = deque()
        self._turn = threading.Lock()
        self._forms: dict[Kind, list[CapturedForward]] = {}
        self._pool: Any = None

    @property
    def batches_ahead(self) -> int:
        """How many batches a caller does well to submit before it waits for the first; 0 where
        each is computed as it is submitted."""
        return min(1, self._streams.in_flight)

    @property
    def captured(self) -> dict[Modality, tuple[int, ...]]:
        """By tower, the sizes that were captured, smallest first."""
        found: dict[Modality, set[int]] = {}
        for (modality, _), forms in self._forms.items():
            found.setdefault(modality, set()).update(form.size for form in forms)
        return {modality: tuple(sorted(sizes)) for modality, sizes in found.items()}

    def encode(self, modality: Modality, batch: Batch) -> Rows:
        """(N, D) float32 of unit length, row i for item i. Raises InputError, BrokenWeights."""
        return self.submit(modality, batch).result()

    def submit(self, modality: Modality, batch: Batch) -> Pending:
        """Begin to encode. What is wrong with the batch, its result raises. On a CPU, where nobody
        else could begin, it is computed when the result is asked for."""
        if not self._streams.in_flight:
            return Pending(partial(self._at_once, modality, batch))
        try:
            return self._on_its_way(modality, batch)
        except (EncoderError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            return Pending(partial(raised, error))

    def prepare(self, modalities: Collection[Modality], most: int) -> None:
        """Before a run that submits batches of up to `most`: on a GPU the forwards are captured, on
        a CPU there is nothing to do."""
        if self._device.type == "cuda":
            for modality in modalities:
                if modality in self.towers:
                    self.capture(modality, padded_sizes(min(most, self._max_batch)))

    def capture(self, modality: Modality, sizes: Collection[int]) -> None:
        """Capture the forward of each kind of the tower's examples, at each of the sizes; what is
        captured already stays. What cannot be, or gives other vectors as a graph, stays eager, and
        a warning says so."""
        tower = self.towers[modality]
        for example in tower.examples():
            for piece in tower.cut(example, self._max_batch).pieces:
                # The largest first: the others find room in the memory that it has taken.
                for size in sorted(sizes, reverse=True):
                    if size <= self._max_batch:
                        self._capture_one(modality, repeated(piece, size))

    def _at_once(self, modality: Modality, batch: Batch) -> Rows:
        takers = {m: partial(self._taken, m) for m in self.towers}
        # Words are cut by their tower, which sorts them first.
        size = len(batch) if modality is Modality.TEXT else self._max_batch
        cores = self._cores()
        return in_batches(self._card, takers, modality, batch, size, cores, small=self._small)

    def _taken(self, modality: Modality, batch: Batch) -> Tensor:
        tower = self.towers[modality]
        cut = tower.cut(batch, self._max_batch)
        vectors = [tower.finish(self._launch(modality, piece).wait()) for piece in cut.pieces]
        return _placed(vectors, cut.place)

    def _on_its_way(self, modality: Modality, batch: Batch) -> Pending:
        check_modality(self._card, self.towers, modality)
        if len(batch) == 0:
            return Pending(lambda: np.empty((0, self._card.dimension), np.float32))
        tower = self.towers[modality]
        cut = tower.cut(batch, self._max_batch)
        with self._turn, torch.inference_mode():
            arrivals = [self._launch(modality, piece) for piece in cut.pieces]

        def rows() -> Rows:
            with torch.inference_mode():
                vectors = [tower.finish(arrival.wait()) for arrival in arrivals]
                placed: Rows = _placed(vectors, cut.place).numpy()
                return placed

        return Pending(rows)

    def _launch(self, modality: Modality, piece: Tensors) -> Arrival:
        """Enqueue a piece; waits only where too many are under way."""
        tower = self.towers[modality]
        if self._streams.in_flight:
            while len(self._under_way) >= self._streams.in_flight:
                self._under_way.popleft().wait()
        there = self._streams.upload(piece)
        with self._streams.computing():
            vectors = self._forward(modality, tower.prepare(*there))
            arrival = self._streams.download(vectors)
        if self._streams.in_flight:
            self._under_way.append(arrival)
        return arrival

    def _forward(self, modality: Modality, prepared: Tensors) -> Tensor:
        """By the smallest form that holds the rows, eagerly where there is none."""
        rows = len(prepared[0])
        for form in self._forms.get(_kind(modality, prepared), ()):
            if form.size >= rows:
                return form(prepared)
        return self.towers[modality].forward(*prepared).float()

    def _capture_one(self, modality: Modality, piece: Tensors) -> None:
        tower = self.towers[modality]

        def forward(*prepared: Tensor) -> Tensor:
            return tower.forward(*prepared).float()

        with self._turn, torch.inference_mode():
            there = self._streams.upload(piece)
            with self._streams.computing():
                prepared = tower.prepare(*there)
                kind = _kind(modality, prepared)
                forms = self._forms.get(kind, [])
                size = len(prepared[0])
                if any(form.size == size for form in forms):
                    return
                if self._pool is None and self._device.type == "cuda":
                    self._pool = torch.cuda.graph_pool_handle()
                try:
                    form = CapturedForward(forward, prepared, self._pool)
                    why = "" if form.agrees() else "other vectors come of it"
                except RuntimeError as error:
                    why = str(error).partition("\n")[0] or type(error).__name__
        if why:
            logger.warning(
                "%s: %s is not replayed as a CUDA graph of %d rows, and is slower for it: %s.",
                self._card.name, modality, size, why,
            )  # fmt: skip
            return
        self._forms[kind] = sorted([*forms, form], key=lambda one: one.size)


def repeated(piece: Tensors, rows: int) -> Tensors:
    """The piece's rows over and over, as many as are wanted."""
    return tuple(tensor[torch.arange(rows) % len(tensor)] for tensor in piece)


def _kind(modality: Modality, prepared: Tensors) -> Kind:
    return modality, tuple(tuple(tensor.shape[1:]) for tensor in prepared)


def _placed(vectors: Sequence[Tensor], place: NDArray[np.intp] | None) -> Tensor:
    rows = vectors[0] if len(vectors) == 1 else torch.cat(list(vectors))
    return rows if place is None else rows[torch.from_numpy(place)]
