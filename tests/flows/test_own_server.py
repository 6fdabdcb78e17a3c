"""Prefect's temporary server ends with the process that started it, however that leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.marked_processes import left_over, marked, marked_environment
from tests.support.python_path import python_path

# A process that only waits takes the server's place, by Prefect's own class.
STARTED = """
import os, subprocess, sys
os.environ["PREFECT_HOME"] = os.getcwd()
from prefect.server.api.server import SubprocessASGIServer
from flows.own_server import own_server
from pipeline.embed import ray_session

server = SubprocessASGIServer()
server.server_process = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
server.port, server.running = 9, True
with own_server():
    print("started", flush=True)
    sys.stdin.readline()
    # As where a process of Ray's died after the last item.
    ray_session._abandoned.set()
ray_session.exit_with(0)
"""
LATE = """
from flows.own_server import own_server
from flows.prefect_server import PrefectUnavailable
try:
    with own_server():
        raise SystemExit("it was there")
except PrefectUnavailable as error:
    print(f"{error.code}: {error}")
"""
FAILED = (
    STARTED.partition("    # As where")[0]
    + """
    import io, time
    from prefect.logging.handlers import APILogWorker
    screen, sys.stderr = sys.stderr, io.StringIO()
    APILogWorker.instance().send({"name": "a line of the flow, whose worker is at work then"})
    while "Error logging to API" not in sys.stderr.getvalue():
        time.sleep(0.05)
    sys.stderr = screen
    APILogWorker.instance().send({"name": "a line that nobody takes any more"})
    sys.exit(3)
"""
)


@pytest.mark.slow("a process that imports Prefect's server, 4 s")
def test_a_run_that_was_done_and_gave_ray_up_leaves_no_server(
    root_dir: Path, tmp_path: Path
) -> None:
    mark = f"own-server-{tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-c", STARTED],
        cwd=tmp_path,
        env={**marked_environment(mark), "PYTHONPATH": python_path(root_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        assert "sleep 600" in marked(mark)
        run.communicate("go on\n", timeout=120)
    assert run.returncode == 0
    assert left_over(mark) == []


@pytest.mark.slow("a process that imports Prefect's server, 4 s")
def test_a_server_that_does_not_come_up_in_time_is_told_as_that(
    root_dir: Path, tmp_path: Path
) -> None:
    """As on a machine that is busy: no defect, and no process is left."""
    mark = f"own-server-{tmp_path}"
    ended = subprocess.run(
        [sys.executable, "-c", LATE],
        cwd=tmp_path,
        env={
            **marked_environment(mark),
            "PYTHONPATH": python_path(root_dir),
            "PREFECT_HOME": str(tmp_path),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "prefect_unavailable: Prefect's temporary server did not start: Timed" in ended.stdout
    assert "--no-flow" in ended.stdout
    assert left_over(mark) == []


@pytest.mark.slow("a process that imports Prefect's server, 4 s")
def test_what_a_stopped_server_was_not_told_is_no_line_on_the_screen(
    root_dir: Path, tmp_path: Path
) -> None:
    """Which may be a log in JSON, and nothing else."""
    mark = f"own-server-{tmp_path}"
    ended = subprocess.run(
        [sys.executable, "-c", FAILED],
        cwd=tmp_path,
        env={**marked_environment(mark), "PYTHONPATH": python_path(root_dir)},
        input="go on\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (3, "")
    assert left_over(mark) == []
