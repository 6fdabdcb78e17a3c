"""A network's forward at one batch size, captured as a CUDA graph where there is a GPU.

Every shape is known before: a smaller batch is filled up to one of a few sizes. A replay is one
launch instead of some thousand, which is what Python would need longer for than the GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from encoders.tower import Tensors

SMALLEST = 8
WARM_UPS = 3
# Of the smallest cosine, row by row, between a graph's answer and its eager form's.
MIN_COSINE = 0.9999


def padded_sizes(most: int) -> tuple[int, ...]:
    """Sizes that batches are filled up to: 8, 16, 32 and so on, and `most`. Beyond 8 rows less than
    half of a batch is filling."""
    sizes = []
    size = SMALLEST
    while size < most:
        sizes.append(size)
        size *= 2
    return (*sizes, most)


class CapturedForward:
    """`forward` at as many rows as `example` has, over input buffers of its own.

    Without a GPU nothing is captured: the same buffers, the same filling, and a plain call. With
    one, the answer is valid until the next call, and calls are made on one stream at a time: the
    caller orders them. `pool` is shared with other graphs of that caller: what a replay leaves
    behind is read before another begins.
    """

    def __init__(
        self, forward: Callable[..., Tensor], example: Tensors, pool: Any | None = None
    ) -> None:
        self.size = len(example[0])
        self._forward = forward
        self._inputs = tuple(tensor.clone() for tensor in example)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: Tensor | None = None
        self._turn = threading.Lock()
        if example[0].is_cuda:
            self._capture(pool)

    def _capture(self, pool: Any | None) -> None:
        """On the current stream, which must not be the default one. Raises RuntimeError where
        the forward does what a graph cannot hold."""
        for _ in range(WARM_UPS):  # libraries choose their kernels and take their memory now
            self._forward(*self._inputs)
        torch.cuda.current_stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on asking for memory meanwhile: only this one's calls are captured.
        with torch.cuda.graph(
            graph, pool=pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            self._output = self._forward(*self._inputs)
        self._graph = graph

    def __call__(self, prepared: Tensors) -> Tensor:
        """Raw vectors of `prepared`, which has as many rows as `size` or fewer. The rows after them
        are those of a batch before: finite, and nothing looks at them."""
        rows = len(prepared[0])
        with self._turn:
            for buffer, given in zip(self._inputs, prepared, strict=True):
                buffer[:rows].copy_(given)
            if self._graph is None or self._output is None:
                return self._forward(*self._inputs)[:rows]
            self._graph.replay()
            return self._output[:rows]

    def agrees(self) -> bool:
        """Whether the graph gives what the eager forward gives of the example's rows."""
        eager = self._forward(*self._inputs).float().flatten(1).clone()
        got = self(self._inputs).float().flatten(1)
        return bool(torch.cosine_similarity(eager, got).min() >= MIN_COSINE)
