"""How a private Ray session ends in a process that is told to end, and begins on a busy core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.marked_processes import left_over, marked_environment

pytestmark = pytest.mark.ray

INTERRUPTED = """
import time
from pipeline.embed import ray_session as session
from pipeline.embed.ray_session import exit_with, ray_session, while_ray_lives
from pipeline.embed.ray_start import RayUnavailable
from pipeline.settings import Settings

session.DRAWING_ENDS_WITHIN_S = {waits_s}

def endless():
    import ray
    yield "first"
    @ray.remote
    def item():
        time.sleep({seconds})
    while True:
        yield ray.get(item.remote())

try:
    with ray_session(Settings()):
        for _ in while_ray_lives(endless()):
            time.sleep(1)  # by now the next item is asked for
            raise KeyboardInterrupt
except KeyboardInterrupt:
    time.sleep(2)  # as long as it takes to give a lease back and to tell Prefect
    try:
        with ray_session(Settings()):
            print("again")
    except RayUnavailable as error:
        print(error)
    exit_with(130)
"""


@pytest.mark.parametrize(
    ("seconds", "waits_s", "afterwards"),
    [(0.2, 50, "again"), (60, 3, "Start a new process")],
    ids=["soon", "late"],
)
def test_told_to_end_while_the_next_item_is_made(
    seconds: float, waits_s: float, afterwards: str, root_dir: Path, tmp_path: Path
) -> None:
    """A thread that calls Ray after its shutdown would end the process, with a status of Ray's."""
    mark = f"drawing-{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(seconds=seconds, waits_s=waits_s)],
        cwd=root_dir,
        env=marked_environment(mark),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 130, done.stdout + done.stderr
    assert afterwards in done.stdout
    assert left_over(mark) == []


SLOW_START = """
import sys
import time
from types import SimpleNamespace

import psutil

from pipeline.embed.ray_session import ray_session
from pipeline.embed.ray_start import RayUnavailable, prepare_environment
from pipeline.settings import Settings

prepare_environment()
import ray
from ray._private import node, services

hours = SimpleNamespace(passed=0)
clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * hours.passed)
node.time = SimpleNamespace(**vars(time) | vars(clock))
known, asked = services.get_node, []

def get_node(*given):
    asked.append(given)
    if len(asked) <= int(sys.argv[1]):
        hours.passed += 1
        raise RuntimeError("No node yet.")
    return known(*given)

services.get_node = get_node

def command_of(child):
    try:
        return " ".join(child.cmdline())
    except psutil.ZombieProcess:  # of the session before, not looked after yet
        return ""

try:
    with ray_session(Settings()):
        told = [command_of(child) for child in psutil.Process().children()]
        servers = [sum(name in one for one in told) for name in ("gcs/gcs_server", "log_monitor")]
        print("answers", ray.get(ray.put(7)), servers)
except RayUnavailable as error:
    print(error)
print("left", psutil.wait_procs(psutil.Process().children(recursive=True), timeout=20)[1])
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("late", "said"),
    [(1, "answers 7 [1, 0]"), (3, "Cannot use a private Ray session: The current node timed out")],
)
def test_a_session_that_starts_too_slowly_is_started_again(
    root_dir: Path, tmp_path: Path, late: int, said: str
) -> None:
    """As on one busy core. Ray waits 30 s for its own processes, and then raises a bare Exception;
    what had come up by then would stay."""
    mark = f"slow-{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", SLOW_START, str(late)],
        cwd=root_dir, env=marked_environment(mark), capture_output=True, text=True,
        check=False, timeout=180,
    )  # fmt: skip
    assert said in done.stdout, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "left []"
    assert left_over(mark) == []
