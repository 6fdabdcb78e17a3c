"""Starts runs by forking a process that has imported everything: a run then costs its own work, and
not some seconds of imports. Nothing that starts threads is called before the fork.

    python -m tests.chaos.host    one JSON request a line in, one JSON answer a line out
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.preloaded import preload


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `status` as subprocess has it, negative for a signal. `stopped`: it has not
    ended, it was stopped by one and waits."""

    pid: int
    status: int
    stopped: bool
    said: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Host:
    """The forking process, as its owner sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos"},
        )

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def start(self, folder: Path, *, name: str = "run", **run: Any) -> int:
        """Start `tests.chaos.driver.main(folder, **run)`; its pid. What it says on standard error
        goes into the file `name`.err of the folder."""
        answer = self._ask({"start": {"folder": str(folder), "name": name, "run": run}})
        return int(answer["pid"])

    def wait(self, pid: int) -> Ended:
        """Until the run has ended or was stopped."""
        return Ended(**self._ask({"wait": pid}))

    def run(self, folder: Path, **run: Any) -> Ended:
        return self.wait(self.start(folder, **run))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def serve() -> None:
    """Fork and wait as asked, until standard input ends."""
    preload()
    from tests.chaos import driver

    errors: dict[int, Path] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            asked = request["start"]
            folder = Path(asked["folder"])
            error_file = folder / f"{asked['name']}.err"
            pid = os.fork()
            if pid == 0:
                _become(driver, folder, error_file, asked["run"])
            errors[pid] = error_file
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid, status = os.waitpid(request["wait"], os.WUNTRACED)
            stopped = os.WIFSTOPPED(status)
            answer = {
                "pid": pid,
                "status": 0 if stopped else os.waitstatus_to_exitcode(status),
                "stopped": stopped,
                "said": errors[pid].read_text(errors="replace")[-3000:],
            }
        print(json.dumps(answer), flush=True)


def _become(driver: Any, folder: Path, error_file: Path, run: dict[str, Any]) -> None:
    """In the fork: the run, and nothing after it."""
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 0)
        os.dup2(quiet, 1)
        os.dup2(os.open(error_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        driver.main(folder, **run)
        status = 0
    except BaseException:  # noqa: BLE001  whatever it was, the owner reads it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
