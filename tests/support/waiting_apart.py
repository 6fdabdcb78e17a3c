"""Pytest plugin: where tests run side by side, those that mostly wait keep to one worker, and those
that share a Ray session and Prefect's server to another.

A run that comes by its schedule, or a worker that is missed by its heartbeats, takes minutes in
which nothing is computed. Spread over all the workers such tests would leave the cores idle; one
after the other beside the rest they cost next to nothing. So they come first, and `make test` has a
worker for them beside one for each of two cores.

A Ray session and a Prefect server are of one worker's process, and each takes half a minute of a
core to start: the files that use them follow one another, so that one of each is started.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

MOSTLY_WAITING = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("cancel", "killed_worker", "schedule", "server_restart")
)

SHARING = (
    *(
        f"tests/flows/test_{name}.py"
        for name in (
            "error_logging",
            "hostile_bucket",
            "index",
            "listeners",
            "lost_index",
            "prefect_away",
            "reconcile",
            "slots",
            "tasks",
        )
    ),
    "tests/integration/test_guarded_servers.py",
    "tests/pipeline/test_cluster_calls.py",
    "tests/pipeline/test_folder_source.py",
    "tests/pipeline/test_graph.py",
)
"""Those that ask for `ray_running` or `prefect_running`; tests/test_suite_rules.py knows them."""


class WaitingApart(LoadFileScheduling):
    """A worker takes a whole file at a time, or all the files that wait, or all that share."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file in MOSTLY_WAITING:
            return "what mostly waits"
        return "what shares Ray and Prefect" if file in SHARING else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: what waits, and then what shares."""
    items.sort(
        key=lambda item: (
            not item.nodeid.startswith(MOSTLY_WAITING),
            not item.nodeid.startswith(SHARING),
        )
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return WaitingApart(config, log) if config.getoption("dist") == "loadfile" else None
