"""Processes that a test started, and theirs, found by a mark in their environment."""

from __future__ import annotations

import os
import signal
import time

import psutil

MARK = "SENSEDEX_TEST_MARK"
# Ray makes its workers yield to everybody, which here are the other tests: two cores that are never
# idle let a graph of eight objects take a minute and a half instead of one, and on one core the
# demo's run had 0 to 4 % of it, and took half an hour.
EQUAL_WORKERS = {"RAY_worker_niceness": "0"}


def marked_environment(mark: str) -> dict[str, str]:
    """The test's own environment without what it says to Ray and Prefect, and with the mark; Ray's
    workers are the equals of the other tests.

    The mark names a path of the test in full: another suite may run beside this one.
    """
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "PREFECT_"))}
    return {**kept, **EQUAL_WORKERS, MARK: mark}


def heeds_interrupts() -> None:
    """For `preexec_fn`: what a shell starts in the background has Ctrl-C ignored, and so would all
    that a suite which runs there starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def marked(mark: str) -> list[str]:
    """Command lines of the processes that carry the mark."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            if process.environ().get(MARK) == mark:
                found.append(" ".join(process.info["cmdline"])[:120])
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def left_over(mark: str, within_s: float = 20) -> list[str]:
    """Those that are still there after a while."""
    until = time.monotonic() + within_s
    while (found := marked(mark)) and time.monotonic() < until:
        time.sleep(0.5)
    return found
