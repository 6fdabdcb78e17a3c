"""The command as a person runs it, in processes of its own: Prefect's server, a run with all that
it starts, and a look at what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.free_port import free_port
from tests.support.marked_processes import EQUAL_WORKERS
from tests.support.python_path import python_path

ROOT = Path(__file__).resolve().parent.parent.parent
LOOK_EVERY_S = 0.25
GONE_WITHIN_S = 30.0


class Family:
    """A process and everything that came of it, seen while it was there: whose parent is dead can
    be found no other way."""

    def __init__(self, pid: int) -> None:
        self._seen = {psutil.Process(pid)}
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def members(self) -> list[psutil.Process]:
        """Those that are alive."""
        with self._lock:
            for process in list(self._seen):
                try:
                    self._seen.update(process.children(recursive=True))
                except psutil.NoSuchProcess:
                    continue
            return [process for process in self._seen if _alive(process)]

    def named(self, word: str) -> list[psutil.Process]:
        """Those alive that have the word in their command line."""
        found = []
        for process in self.members():
            try:
                if word in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def left(self, within_s: float = GONE_WITHIN_S) -> list[str]:
        """Whoever is alive some time after the end, as a line each; they are killed then."""
        self._done.set()
        self._thread.join()
        until = time.monotonic() + within_s
        while (alive := self.members()) and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
        lines = []
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline())[:100])
        self.kill()
        return lines

    def kill(self) -> None:
        """All of them, with SIGKILL."""
        for process in self.members():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _look(self) -> None:
        while not self._done.wait(LOOK_EVERY_S):
            self.members()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class PrefectServer:
    """A server with a database under `folder`, on a port that stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._family: Family | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PREFECT_HOME": str(self._folder),
            "PREFECT_API_URL": f"http://127.0.0.1:{self._port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def start(self) -> None:
        """Returns when it answers; does nothing where it runs already."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self._port)],
                cwd=self._folder,
                env={**_plain_environment(), **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._family = Family(self._process.pid)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                url = f"http://127.0.0.1:{self._port}/api/health"
                with urllib.request.urlopen(url, timeout=2):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """With SIGKILL, all of it."""
        if self._family is not None:
            self._family.kill()

    def stop(self) -> None:
        if self._family is not None and self._process is not None:
            self._process.terminate()
            self._family.left()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `report` is empty where it printed none; `said` is its last words on
    standard error; `hung` means that it was killed for taking too long."""

    status: int
    seconds: float
    report: Mapping[str, Any]
    said: str
    left: tuple[str, ...]
    hung: bool


class RealRun:
    """`sensedex run` with a settings file, under way. `longest_s` bounds it."""

    def __init__(
        self, folder: Path, settings: Path, environment: Mapping[str, str], longest_s: float
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._longest_s = longest_s
        self._began = time.monotonic()
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", "run", "--json", "--settings", settings],
                cwd=folder,
                env={
                    **_plain_environment(),
                    "PYTHONPATH": python_path(ROOT),
                    **EQUAL_WORKERS,
                    **environment,
                },
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.family = Family(self._process.pid)

    def wait_for(self, what: Callable[[], Any]) -> bool:
        """Until `what` gives something true; False where the run ended before."""
        while self._process.poll() is None:
            if what():
                return True
            if time.monotonic() - self._began > self._longest_s:
                return False
            time.sleep(0.02)
        return False

    def said(self) -> str:
        """What it has told on standard error so far."""
        return self._err.read_text(errors="replace")

    def kill_group(self) -> None:
        """The driver and all that is in its process group, with SIGKILL."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> Ended:
        """Wait for the end, within the bound, and for all that it started."""
        hung = False
        try:
            self._process.wait(max(1.0, self._longest_s - (time.monotonic() - self._began)))
        except subprocess.TimeoutExpired:
            hung = True
            self.family.kill()
            self._process.wait()
        seconds = time.monotonic() - self._began
        text = self._out.read_text()
        report = json.loads(text) if text.startswith("{") else {}
        left = tuple(self.family.left())
        said = self.said().strip()[-3000:]
        engines = self._err.parent / ".sensedex/engines.log"
        if self._process.returncode != 0 and engines.is_file():
            said = f"{engines.read_text(errors='replace')[-6000:]}\n{said}"
        return Ended(self._process.returncode, round(seconds, 1), report, said, left, hung)


def _plain_environment() -> dict[str, str]:
    """This process's own, without what would lead to another Ray, Prefect or set of settings; the
    precision stays, in which this process makes what the run's vectors are held against."""
    led_by = ("RAY_", "PREFECT_", "SENSEDEX_")
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SENSEDEX_ENCODE__PRECISION" or not name.startswith(led_by)
    }
