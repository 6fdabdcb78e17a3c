"""A real Prefect server and process workers, each in a process of its own, and a small bucket."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows.cli.main import app
from pipeline.settings import Settings
from tests.support.free_port import free_port
from tests.support.marked_processes import EQUAL_WORKERS, heeds_interrupts
from tests.support.patience import PATIENCE
from tests.support.python_path import python_path
from tests.support.run_settings import settings_for

T = TypeVar("T")
PREFECT = [sys.executable, "-m", "prefect"]
SENSEDEX = [sys.executable, "-m", "flows.cli.main"]
AT_ERROR = re.compile(
    r"\| (ERROR|CRITICAL) |^(ERROR|CRITICAL):|Traceback \(most recent call last\)"
)

ENTRY_BEGINS = re.compile(r"^(?=\d\d:\d\d:\d\d\.\d+ \| )", re.MULTILINE)


@contextmanager
def running(
    command: list[str], log: Path, cwd: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which is ended with all that it started."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True,
            preexec_fn=heeds_interrupts,
        )  # fmt: skip
    try:
        yield process
    finally:
        started = family(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for one in started:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def family(pid: int) -> list[psutil.Process]:
    """The process and all that it started, as far as they are there."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def until(what: str, look: Callable[[], T | None], within_s: float, log: Path | None = None) -> T:
    """What `look` finds. Fails, with the end of the log, where that takes too long."""
    end = time.monotonic() + within_s * PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(1)  # to ask Prefect takes 30 ms of a core
    said = log.read_text(errors="replace")[-3000:] if log is not None and log.exists() else ""
    raise AssertionError(f"{what}: not within {within_s * PATIENCE:.0f} s\n{said}")


@dataclass
class PrefectScene:
    """`folder` is where the runs work; their state, index and logs are in it."""

    folder: Path
    root: Path
    database: Path  # copied
    more_env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        home = self.folder / "prefect"
        home.mkdir()
        shutil.copy(self.database, home / "prefect.db")

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def env(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "RAY_"))}
        return {
            **kept,
            **EQUAL_WORKERS,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # SQLite's writers wait for one another, on a busy machine for longer than ten seconds.
            "PREFECT_SERVER_DATABASE_TIMEOUT": "100",
            "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "100",
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": python_path(self.root),
            "PYTHONUNBUFFERED": "1",
            **self.more_env,
        }

    @property
    def server_log(self) -> Path:
        return self.folder / "server.log"

    @property
    def worker_log(self) -> Path:
        return self.folder / "worker.log"

    @contextmanager
    def server(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with running(command, self.server_log, self.folder, self.env) as process:
            until("Prefect's server", self.answers, 120, self.server_log)
            yield process

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api}/health", timeout=2):
                return True
        except OSError:
            return False

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*PREFECT, "worker", "start", "--pool", "media"]
        with running(command, self.worker_log, self.folder, self.env) as process:
            yield process

    def run(self, command: list[str], within_s: float = 300) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False,
            timeout=within_s * PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def deploy_apart(self, *flags: str) -> list[str]:
        """`sensedex deploy` in the folder of the runs; what it printed."""
        return self.run([*SENSEDEX, "deploy", *flags]).splitlines()

    def deploy(self, *flags: str) -> list[str]:
        """The same in this process, which has Prefect imported."""
        with chdir(self.folder), temporary_settings({PREFECT_API_URL: self.api}):
            done = CliRunner().invoke(app, ["deploy", *flags], env={"PREFECT_API_URL": self.api})
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        with SyncPrefectClient(api=self.api) as client:
            yield client

    def ask_for_a_run(self) -> UUID:
        """As `prefect deployment run index/nightly`, which takes seconds to import."""
        with self.client() as client:
            one = client.read_deployment_by_name("index/nightly")
            return client.create_flow_run_from_deployment(one.id).id

    def flow_run(self, run_id: UUID) -> FlowRun:
        with self.client() as client:
            return client.read_flow_run(run_id)

    def runs(self, deployment: str = "index/nightly") -> list[FlowRun]:
        """The deployment's runs that are due or were, the earliest first."""
        with self.client() as client:
            one = client.read_deployment_by_name(deployment)
            return client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[one.id])),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=50,
            )

    def in_state(self, *names: str) -> list[FlowRun]:
        return [run for run in self.runs() if run.state is not None and run.state.name in names]

    def lines_at_error(self) -> list[str]:
        """What server and worker logged at ERROR or above."""
        return [
            f"{log.name}: {line}"
            for log in (self.server_log, self.worker_log)
            if log.exists()
            for entry in entries_of(log.read_text(errors="replace"))
            if not is_written_again(entry)
            for line in entry.splitlines()
            if AT_ERROR.search(line)
        ]


def entries_of(log: str) -> list[str]:
    """Each with the lines of its traceback."""
    return ENTRY_BEGINS.split(log)


def is_written_again(entry: str) -> bool:
    """What Prefect's server could not write to SQLite beside another write: it reads and writes in
    one transaction, for which SQLite does not wait. A worker's heartbeat, of which the next one
    comes in seconds, or that a run is late, which its service says at its next turn. After the
    former the server closes the worker's channel, and its reader trips over that; the worker opens
    another. On a busy machine they are seen now and then (docs/scheduling.md)."""
    if "WorkerChannelConnection._receive_loop" in entry and "WebSocket is not connected" in entry:
        return True
    again = "Worker channel heartbeat persistence failed" in entry or "'name': 'Late'" in entry
    return again and "database is locked" in entry


settings_of = partial(settings_for, bucket="demo", source__region="us-east-1")
"""Of a run that works in a folder, on the bucket of `fill_bucket`."""


class Gate:
    """Stands before a bucket: lets so many GETs of objects by, and holds the others until it is
    opened. So a run is in its middle for as long as a test looks at it."""

    def __init__(self, let_by: int) -> None:
        self._left = let_by
        self._lock = threading.Lock()
        self._open = threading.Event()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            held = self._left < 0
        if held:
            self._open.wait()

    def open(self) -> None:
        self._open.set()


def flags_of(settings: Settings) -> list[str]:
    """The same for `sensedex deploy`, relative to the folder in which the runs work."""
    assert settings.source.endpoint_url is not None
    return [
        *("--bucket", settings.source.bucket),
        *("--endpoint-url", settings.source.endpoint_url),
        *("--state", "state"),
        *("--set", "source.region=us-east-1"),
        *("--set", "index.path=qdrant"),
        *("--set", f"state.shard_objects={settings.state.shard_objects}"),
        *("--set", f"embed.engine={settings.embed.engine}"),
        *("--set", f"encode.batch_size={settings.encode.batch_size}"),
    ]


def fill_bucket(client: Any, media: Path, pattern: str, most: int) -> int:
    """Put some of the demo's media into the bucket `demo`; how many."""
    client.create_bucket(Bucket="demo")
    files = sorted(media.glob(pattern))[:most]
    for path in files:
        client.upload_file(str(path), "demo", path.relative_to(media).as_posix())
    if not files:
        pytest.fail(f"nothing in {media} is {pattern}")
    return len(files)
