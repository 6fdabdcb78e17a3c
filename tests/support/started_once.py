"""Pytest plugin: one Ray session and one Prefect server for all tests that ask for one.

The files that do follow one another (`waiting_apart.SHARING`), and after the last of them both end.
Idle they would take a twentieth of a core until the session does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pipeline.embed.ray_start import start_ray
from pipeline.settings import Settings
from tests.support.waiting_apart import SHARING, file_of

_STARTED = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STARTED] = ExitStack()


@pytest.hookimpl(trylast=True)  # the fixtures of the test itself have ended
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or file_of(nextitem.nodeid) not in SHARING:
        item.config.stash[_STARTED].close()


@pytest.fixture(scope="session")
def ray_running(request: pytest.FixtureRequest, _environment: None) -> Iterator[None]:
    """The code under test finds the session and leaves it running."""
    import ray

    start_ray(Settings())
    request.config.stash[_STARTED].callback(ray.shutdown)
    yield
    request.config.stash[_STARTED].close()


@pytest.fixture(scope="session")
def prefect_running(request: pytest.FixtureRequest, _environment: None) -> Iterator[None]:
    """A temporary server."""
    from prefect.testing.utilities import prefect_test_harness

    harness = prefect_test_harness(server_startup_timeout=120)
    request.config.stash[_STARTED].enter_context(harness)
    yield
    request.config.stash[_STARTED].close()
