"""What the graph makes of processes of its own that die. Whole runs: `tests.chaos.disasters`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.progress import Stage, StageProgress


@pytest.mark.usefixtures("ray_running")
def test_a_lost_board_stops_the_telling_and_not_the_run() -> None:
    import ray

    from pipeline.embed.progress_actor import ProgressBoard

    board = ProgressBoard()
    seen = []
    with board.followed_by(seen.append, every_s=0.05):
        ray.get(board.handle.add.remote(Stage.DECODE, StageProgress(objects=3)))
        while not seen:
            time.sleep(0.01)
        ray.kill(board.handle)
    assert all(stages.get(Stage.DECODE, StageProgress(3)).objects == 3 for stages in seen)


def test_what_a_session_gives_and_raises_comes_through() -> None:
    from pipeline.embed.ray_session import while_ray_lives

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("of the items")

    drawn = while_ray_lives(items())
    assert [next(drawn), next(drawn)] == [1, 2]
    with pytest.raises(ValueError, match="of the items"):
        next(drawn)
    assert list(while_ray_lives([])) == []


SESSION = """
import time
import psutil
from pipeline.embed.ray_session import RayDied, exit_with, ray_session, while_ray_lives
from pipeline.settings import Settings

def items():
    import ray
    yield ray.get(ray.put(1))
    time.sleep(600)

with ray_session(Settings()):
    try:
        for item in while_ray_lives(items()):
            for child in psutil.Process().children(recursive=True):
                if "raylet/raylet" in " ".join(child.cmdline()):
                    child.kill()
    except RayDied as error:
        print(error)
exit_with(5)
"""


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_dead_raylet_is_named(root_dir: Path) -> None:
    """Ray alone would end the process, without a word."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=root_dir, env=kept, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert "Ray's raylet died. Run again" in done.stdout, done.stderr[-2000:]
    assert done.returncode == 5, done.stderr[-2000:]
