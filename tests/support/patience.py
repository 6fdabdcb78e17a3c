"""Pytest plugin: limits of time that hold on one core, too, where all that runs side by side on two
takes its turns."""

from __future__ import annotations

import os

import pytest

PATIENCE = 3 if len(os.sched_getaffinity(0)) == 1 else 1
"""How many times as long as on two cores and more tests may take and wait."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test, by its own marker or `--timeout`."""
    usual = config.getoption("--timeout")
    if PATIENCE == 1 or not usual:
        return
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = marker.args[0] if marker else usual
        item.add_marker(pytest.mark.timeout(limit * PATIENCE), append=False)
