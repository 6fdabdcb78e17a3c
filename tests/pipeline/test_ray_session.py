"""How a private Ray session ends in a process that is told to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.marked_processes import left_over, marked_environment

pytestmark = pytest.mark.ray

INTERRUPTED = """
import time
from pipeline.embed.ray_session import RayUnavailable, exit_with, ray_session, while_ray_lives
from pipeline.settings import Settings

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
    ("seconds", "afterwards"), [(0.2, "again"), (60, "Start a new process")], ids=["soon", "late"]
)
def test_told_to_end_while_the_next_item_is_made(
    seconds: float, afterwards: str, root_dir: Path, tmp_path: Path
) -> None:
    """A thread that calls Ray after its shutdown would end the process, with a status of Ray's."""
    mark = f"drawing-{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(seconds=seconds)],
        cwd=root_dir,
        env=marked_environment(mark),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 130, done.stdout + done.stderr
    assert afterwards in done.stdout
    assert left_over(mark) == []
