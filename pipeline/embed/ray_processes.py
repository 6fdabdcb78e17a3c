"""The processes of a private Ray session, known by a mark in their environment.

Ray's workers are started by its raylet, in groups of their own; where the raylet is gone, nobody
else knows them any more.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "SENSEDEX_RAY_SESSION_OF"


@contextmanager
def marked_children() -> Iterator[None]:
    """Children that are started in the block, and theirs, carry the mark of this process."""
    os.environ[MARK] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[MARK]


def marked_processes(owner: int) -> list[int]:
    """Which processes of the session that process `owner` started are there."""
    mark = f"\0{MARK}={owner}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in b"\0" + (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def kill_marked_children() -> None:
    """End what is left of the session that this process started."""
    for pid in marked_processes(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def own_sigterm() -> Iterator[None]:
    """Ray, where it starts, puts a handler of its own in the place of whoever handled SIGTERM
    before: it ends the process where it stands, with the lease unreleased. Put it back."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def dead_processes() -> list[str]:
    """Which of the processes that a private session cannot do without are gone."""
    from ray._private import worker

    node = worker._global_node  # of a session that this process only joined, it knows none
    if node is None:
        return []
    return sorted({str(name) for name, _ in node.dead_processes()} & {"raylet", "gcs_server"})


def wait_for_death(most_s: float) -> None:
    """Until one of them is gone, and not for longer."""
    until = time.monotonic() + most_s
    while not dead_processes() and time.monotonic() < until:
        time.sleep(0.1)
