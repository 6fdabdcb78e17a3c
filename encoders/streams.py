"""Streams of a device: batches go up while others are computed, and answers come by themselves.

`CudaStreams` copies from pinned memory on a stream of its own; `NoStreams` is the same where the
network computes in the host's memory: nothing is copied, and everything is done at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from encoders.tower import Tensors

# One is filled by the host while another is copied, and one more for a host that is quicker.
PINNED_BUFFERS = 3
ALIGNED_BYTES = 256


class Arrival(Protocol):
    """Rows on their way to the host."""

    def wait(self) -> Tensor:
        """The rows, on the host, when they are there."""
        ...


class Streams(Protocol):
    """`in_flight` is how many pieces may be under way; 0 where each is done when it is given."""

    in_flight: int

    def upload(self, tensors: Tensors) -> Tensors:
        """On the device, in order before whatever is computed next; the host's are free at once."""
        ...

    def computing(self) -> AbstractContextManager[None]:
        """One caller at a time enqueues its work, up to its `download`."""
        ...

    def download(self, rows: Tensor) -> Arrival:
        """Begin to bring rows to the host; within `computing`."""
        ...


class NoStreams:
    """The host is the device. Several threads may compute side by side."""

    in_flight = 0

    def upload(self, tensors: Tensors) -> Tensors:
        return tensors

    def computing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def download(self, rows: Tensor) -> Arrival:
        return _Here(rows)


class CudaStreams:
    """One stream that copies, one that computes and brings the answers back."""

    def __init__(self, device: torch.device, in_flight: int = 4) -> None:
        self.in_flight = in_flight
        self._device = device
        self._copy = torch.cuda.Stream(device)
        self._compute = torch.cuda.Stream(device)
        self._pinned = [_PinnedBuffer() for _ in range(PINNED_BUFFERS)]
        self._uploads = 0
        self._turn = threading.RLock()

    def upload(self, tensors: Tensors) -> Tensors:
        with self._turn:
            buffer = self._pinned[self._uploads % len(self._pinned)]
            self._uploads += 1
            staged = buffer.filled(tensors)
            with torch.cuda.stream(self._copy):
                there = tuple(tensor.to(self._device, non_blocking=True) for tensor in staged)
                buffer.copied.record(self._copy)
            self._compute.wait_event(buffer.copied)
            for tensor in there:  # their memory is the copy stream's, and is read on the other
                tensor.record_stream(self._compute)
            return there

    @contextmanager
    def computing(self) -> Iterator[None]:
        with self._turn:
            # Weights that were moved, or changed by a training, on the caller's own stream.
            self._compute.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._compute):
                yield

    def download(self, rows: Tensor) -> Arrival:
        """On the computing stream: it is a few hundred kilobytes, and the next replay, which
        writes over them, may not begin before."""
        host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
        host.copy_(rows, non_blocking=True)
        done = torch.cuda.Event(blocking=True)
        done.record(self._compute)
        return _OnItsWay(host, done)


class _Here:
    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def wait(self) -> Tensor:
        return self._rows


class _OnItsWay:
    def __init__(self, host: Tensor, done: torch.cuda.Event) -> None:
        self._host = host
        self._done = done

    def wait(self) -> Tensor:
        self._done.synchronize()  # other threads of Python go on, and no core spins
        return self._host


class _PinnedBuffer:
    """Page-locked memory, as large as the largest piece: from no other does a copy go by itself."""

    def __init__(self) -> None:
        self.copied = torch.cuda.Event(blocking=True)
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def filled(self, tensors: Sequence[Tensor]) -> Tensors:
        """The same values in pinned memory, once the copy before has left it."""
        self.copied.synchronize()
        sizes = [-(-t.numel() * t.element_size() // ALIGNED_BYTES) * ALIGNED_BYTES for t in tensors]
        if sum(sizes) > len(self._bytes):
            self._bytes = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=True)
        staged, at = [], 0
        for tensor, size in zip(tensors, sizes, strict=True):
            used = tensor.numel() * tensor.element_size()
            view = self._bytes[at : at + used].view(tensor.dtype).view(tensor.shape)
            view.copy_(tensor)
            staged.append(view)
            at += size
        return tuple(staged)
