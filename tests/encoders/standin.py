"""The stand-in weights and inputs of the golden answers: pure functions of a name and a shape."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

SMALL = {"pos_embed", "cls_token", "type_embed", "temporal_embed", "bias_k", "bias_v"}


# So many numbers at a time as stay in a processor's cache: ViT-H has 1.2 billion.
BLOCK = 1 << 16


def noise(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean 0, variance 1, the same everywhere."""
    made = np.empty(int(np.prod(shape)), np.float32)
    raw = np.random.PCG64(zlib.crc32(name.encode()))
    for start in range(0, len(made), BLOCK):
        block = made[start : start + BLOCK]
        block[:] = raw.random_raw(len(block)) >> np.uint64(40)
        block *= np.float32(2**-24)
        block -= np.float32(0.5)
        block *= np.float32(np.sqrt(12))
    return made.reshape(shape)


def give_standin_weights(model: nn.Module) -> None:
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith(("log_logit_scale", ".mask")):
            continue
        shape = tuple(tensor.shape)
        z = noise(name, shape)
        last = name.rsplit(".", 1)[-1]
        if last in SMALL:
            z *= np.float32(0.5)
        elif len(shape) == 1:
            z *= np.float32(0.1)
            z += np.float32(last == "weight")
        else:
            _divide(z.reshape(-1), np.sqrt(np.prod(shape[1:])))
        state[name] = torch.from_numpy(z)
    model.load_state_dict(state, assign=True)


@contextmanager
def without_weights() -> Iterator[None]:
    """Networks that are built meanwhile are given no first weights: ViT-H takes seconds to draw."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (nn.Linear, nn.LayerNorm, nn.Embedding, nn.Conv2d, nn.Conv3d):
            patch.setattr(kind, "reset_parameters", lambda _: None)
        yield


def _divide(z: NDArray[np.float32], by: np.float64) -> None:
    """In double precision, rounded at the end."""
    for start in range(0, len(z), BLOCK):
        z[start : start + BLOCK] = z[start : start + BLOCK] / by
