"""A batch comes back row for row, however many cores take pieces of it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.batches import ITEMS_PER_CORE, in_batches
from encoders.card import EncoderCard
from encoders.loading import load_encoder
from encoders.modality import Modality
from tests.support import media_files


@pytest.fixture(scope="module")
def card() -> EncoderCard:
    return load_encoder("imagebind-demo", device="cpu", precision="fp32").card


class Noting:
    """Gives back what it is given, and notes by whom and how."""

    def __init__(self, threads: int = 2) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.cores: set[int] = set()
        # Of two threads, none goes on before both have a piece.
        self.both = threading.Barrier(max(1, threads), timeout=20)

    def take(self, batch: NDArray[np.float32]) -> Tensor:
        self.sizes.append(len(batch))
        self.threads.add(threading.current_thread().name)
        self.cores.add(torch.get_num_threads())
        assert torch.is_inference_mode_enabled()
        if threading.current_thread() is not threading.main_thread():
            self.both.wait()
        return torch.from_numpy(batch.copy())


@pytest.mark.parametrize(
    ("items", "cores", "size", "sizes"),
    [
        (20, 1, 16, [16, 4]),
        (2 * ITEMS_PER_CORE - 1, 2, 16, [2 * ITEMS_PER_CORE - 1]),
        (14, 2, 16, [7, 7]),
        (32, 2, 16, [8, 8, 8, 8]),
        (8, 2, 1, [1] * 8),
    ],
)
def test_every_core_has_a_batch_of_its_own(
    card: EncoderCard, items: int, cores: int, size: int, sizes: list[int]
) -> None:
    before = torch.get_num_threads()
    noting = Noting()
    rows = np.arange(items * 256, dtype=np.float32).reshape(items, 256)
    got = in_batches(card, {Modality.VISION: noting.take}, Modality.VISION, rows, size, cores)
    assert np.array_equal(got, rows)
    assert noting.sizes == sizes
    if sizes[0] * cores <= items and cores > 1:
        assert len(noting.threads) == 2
        assert noting.cores == {1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("items", "cores", "sizes", "workers"),
    [(1, 2, [1], 1), (7, 2, [7], 1), (9, 4, [5, 4], 2), (8, 2, [4, 4], 2), (3, 1, [3], 0)],
)
def test_few_items_of_a_small_network_are_one_core_s(
    card: EncoderCard, items: int, cores: int, sizes: list[int], workers: int
) -> None:
    noting = Noting(workers)
    rows = np.arange(items * 256, dtype=np.float32).reshape(items, 256)
    take = {Modality.VISION: noting.take}
    got = in_batches(card, take, Modality.VISION, rows, 16, cores, small=True)
    assert np.array_equal(got, rows)
    assert noting.sizes == sizes
    apart = {name for name in noting.threads if name != threading.main_thread().name}
    assert len(apart) == workers
    assert not workers or noting.cores == {1}


def test_what_fails_in_a_thread_is_raised_and_the_cores_come_back(card: EncoderCard) -> None:
    before = torch.get_num_threads()

    def take(batch: NDArray[np.float32]) -> Tensor:
        raise ValueError(f"{len(batch)} of them")

    with pytest.raises(ValueError, match="8 of them"):
        in_batches(card, {Modality.VISION: take}, Modality.VISION, np.zeros((20, 256)), 16, 2)
    assert torch.get_num_threads() == before


def test_a_picture_has_one_vector_alone_and_among_many() -> None:
    encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    frames = np.stack([media_files.picture_array(n, (224, 224)) for n in range(9)])[:, None]
    many = encoder.encode(Modality.VISION, frames)
    each = np.concatenate([encoder.encode(Modality.VISION, frame[None]) for frame in frames])
    assert np.abs(many - each).max() < 1e-5
