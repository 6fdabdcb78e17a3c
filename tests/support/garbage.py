"""Pytest plugin: garbage is looked for where there may be some, not among what imports left.

What collecting the tests imports (torch, Ray, Prefect, Qdrant's models) is some two million objects
that stay for good. Python's collector walked through them again and again: a tenth of the CPU time
of `make check`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

# The young, how often they are collected before the older, and these before the oldest.
THRESHOLDS = (300_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """What cannot be freed is looked through once, not at each of pytest's and Python's rounds."""
    gc.collect()
    gc.freeze()
