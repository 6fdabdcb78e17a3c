"""Pytest plugin: mark tests with what they need, and hold a run without Ray and servers to that.

A fixture that starts something marks every test that uses it; what starts something by itself is
marked where it stands. Where a run selects no test that is marked `ray`, `prefect` or `server`, as
`make check` does, nothing may be started: a test that listens fails at that line, and a file that
left a Ray session, a Prefect database or a listening process fails at its end.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

BY_FIXTURE = {
    "ray_running": "ray",
    "prefect_running": "prefect",
    "prefect_database": "prefect",
    "answers": "server",
    "s3_server": "server",
    "seaweed_server": "server",
    "server": "server",
    "served": "server",
}
STARTERS = frozenset(BY_FIXTURE.values())
_GUARDED = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in BY_FIXTURE:
                item.add_marker(BY_FIXTURE[fixture])
        if any(not mark.args for mark in item.iter_markers("slow")):
            raise pytest.UsageError(f'{item.nodeid}: say why: @pytest.mark.slow("...")')


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_GUARDED] = not any(
        item.get_closest_marker(name) for item in session.items for name in STARTERS
    )


def _refuse(self: socket.socket, *_: object) -> NoReturn:
    pytest.fail(f"{self} would listen: a test that starts a server is marked `server`")


@pytest.fixture(scope="session", autouse=True)
def _starts_are_seen(
    request: pytest.FixtureRequest,
    _environment: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path | None]:
    """Where Ray would leave a session, of this process or of one that it starts."""
    if not request.config.stash[_GUARDED]:
        yield None
        return
    with pytest.MonkeyPatch.context() as patch:
        sessions = tmp_path_factory.mktemp("ray")
        patch.setenv("RAY_TMPDIR", str(sessions))
        patch.setattr(socket.socket, "listen", _refuse)
        yield sessions


@pytest.fixture(scope="module", autouse=True)
def _nothing_was_started(_starts_are_seen: Path | None) -> Iterator[None]:
    yield
    if _starts_are_seen is not None and (found := started(_starts_are_seen)):
        pytest.fail(f"started by tests that are marked neither ray, prefect nor server: {found}")


def started(ray_sessions: Path) -> list[str]:
    """What this process and those that it started have started, as far as traces tell."""
    found = [f"Ray in {path}" for path in ray_sessions.iterdir()]
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        found.append("Ray in this process")
    found += [f"Prefect in {path}" for path in Path(os.environ["PREFECT_HOME"]).glob("*.db")]
    for process in psutil.Process().children(recursive=True):
        try:
            listening = {c.laddr for c in process.net_connections("inet") if c.status == "LISTEN"}
            found += [f"{process.cmdline()} at {address}" for address in listening]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
