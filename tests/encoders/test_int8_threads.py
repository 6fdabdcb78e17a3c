"""int8 by several threads at once, and its attention in bf16."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

from encoders.imagebind.int8 import Int8Linear, attend_in_bf16

THREADS, CALLS = 8, 100


@pytest.fixture
def _two_cores() -> Iterator[None]:
    """Each call by two threads of torch's, as an encoder that has the machine to itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_cores")
def test_threads_that_ask_at_once_get_what_each_would_alone() -> None:
    """Of one shape: what oneDNN prepares for the first that comes is no thread's own (a server's
    requests are encoded side by side)."""
    generator = torch.Generator().manual_seed(0)
    layer = Int8Linear(torch.randn(5120, 1280, generator=generator), None)
    asked = [torch.randn(200, 1280, generator=generator) for _ in range(THREADS)]
    asked[::2] = [x.abs() for x in asked[::2]]  # of another range, which is what they would mix up
    with torch.inference_mode():
        alone = [layer(x) for x in asked]
    wrong: list[int] = []

    def ask(number: int) -> None:
        torch.set_num_threads(2)
        with torch.inference_mode():
            for _ in range(CALLS):
                if not torch.equal(layer(asked[number]), alone[number]):
                    wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_attention_in_bf16_is_the_fused_one_within_its_digits() -> None:
    """Items two by two, and one that is left over; other tokens than keys, too."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(5, 4, 33, 16, generator=generator)
    k, v = torch.randn(2, 5, 4, 34, 16, generator=generator)
    wanted = F.scaled_dot_product_attention(q, k, v)
    got = attend_in_bf16(q, k, v)
    assert got.dtype == torch.float32
    assert 0 < float((got - wanted).norm() / wanted.norm()) < 0.02


def test_text_looks_back_alone_as_ever() -> None:
    q, k, v = torch.randn(3, 2, 4, 9, 16, generator=torch.Generator().manual_seed(0))
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(attend_in_bf16(q, k, v, is_causal=True), wanted)
