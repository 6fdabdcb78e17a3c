"""What only an NVIDIA GPU can show: graphs, streams, bf16 of the card, its video decoder.

`make test ARGS=tests/gpu` where there is one; where torch sees none, nothing here is collected. The
logic of all of it is tested without one (tests/encoders/test_device_feed.py,
tests/pipeline/test_encode_ahead.py, tests/pipeline/media/test_nvdec.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]
HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("gpu")


@pytest.fixture(autouse=True)
def _whole_float32() -> Iterator[None]:
    """Products of float32 as they are, not rounded to TF32 on the way."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
