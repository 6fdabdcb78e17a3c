"""Production's way: a Prefect server, a process work pool, a worker, and
`prefect deployment run --watch` on the demo bucket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.cli.demo_bucket import sync_bucket
from flows.cli.demo_server import DemoServer
from pipeline.finish import read_status
from pipeline.qdrant import open_index
from pipeline.settings import load_settings

PREFECT = [sys.executable, "-m", "prefect"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], log: Path, cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """A process in a group of its own, which is ended with all that it started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, within_s: float, log: Path) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"{url} did not answer:\n{log.read_text()[-3000:]}")


@pytest.mark.timeout(600)
def test_a_deployment_runs(root_dir: Path, tmp_path: Path, seaweed_server: DemoServer) -> None:
    media = root_dir / "infra/demo/media"
    source = {"bucket": "nightly", "endpoint_url": seaweed_server.url, "region": "us-east-1"}
    index = {"path": str(tmp_path / "qdrant"), "collection": "nightly"}
    state = {"location": str(tmp_path / "state")}
    settings = load_settings(
        None,
        {
            **{f"source.{k}": v for k, v in source.items()},
            **{f"index.{k}": v for k, v in index.items()},
            **{f"state.{k}": v for k, v in state.items()},
        },
    )
    sync_bucket(settings.source, media)

    port = free_port()
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "RAY_"))}
    env = {
        **kept,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "SENSEDEX_CHECKOUT": str(root_dir),
    }

    def prefect(*words: str) -> str:
        done = subprocess.run(
            [*PREFECT, *words],
            cwd=root_dir,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert done.returncode == 0, f"prefect {' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    log = tmp_path / "server.log"
    serve = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(serve, log, root_dir, env):
        wait_for(f"http://127.0.0.1:{port}/api/health", 120, log)
        prefect("work-pool", "create", "--type", "process", "media")
        prefect("--no-prompt", "deploy", "--all")
        worker_log = tmp_path / "worker.log"
        worker = [*PREFECT, "worker", "start", "--pool", "media"]
        with running(worker, worker_log, root_dir, env):
            shown = prefect(
                *("deployment", "run", "index/nightly", "--watch"),
                *("--param", f"source={json.dumps(source)}"),
                *("--param", f"index={json.dumps(index)}"),
                *("--param", f"state={json.dumps(state)}"),
            )
        artifacts = prefect("artifact", "ls", "-o", "json")

    assert "Completed" in shown, shown + worker_log.read_text()[-3000:]
    status = read_status(settings)
    assert status.objects_by_status == {"indexed": 62, "rejected": 3}
    with open_index(settings.index) as opened:
        assert opened.count() == status.segments > 150
    for key in ("index-plan", "index-progress", "index-report"):
        assert key in artifacts
