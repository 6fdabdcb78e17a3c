"""Pytest plugin: where tests run side by side, those that mostly wait keep to one worker.

A run that comes by its schedule, or a worker that is missed by its heartbeats, takes minutes in
which nothing is computed. Spread over all the workers such tests would leave the cores idle; one
after the other beside the rest they cost next to nothing. So they come first, and `make test` has a
worker for them beside one for each of two cores.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

MOSTLY_WAITING = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("cancel", "killed_worker", "schedule", "server_restart")
)


class WaitingApart(LoadFileScheduling):
    """A worker takes a whole file at a time, or all the files that mostly wait."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "what mostly waits" if file in MOSTLY_WAITING else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(MOSTLY_WAITING))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return WaitingApart(config, log) if config.getoption("dist") == "loadfile" else None
