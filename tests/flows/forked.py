"""The command `sensedex` as a process of its own, forked from one that has imported what it needs.

An import of torch and of the clients takes longer than most errors do, and so does making typer's
commands of our functions. What is forked has not begun anything: its arguments, environment, folder
and screen are those of the call.

    python -m tests.flows.forked   reads a call a line, as JSON, and answers with its exit status
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from tests.support.preloaded import preload


@dataclass(frozen=True, slots=True)
class Ended:
    """How one call ended; `seconds` are without the imports."""

    status: int
    stdout: str
    stderr: str
    seconds: float


class Commands:
    """Forks a process a call, and waits for it."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def sensedex(self, *words: str, cwd: Path, env: Mapping[str, str], limit_s: float) -> Ended:
        """Status -9 where it took longer."""
        with tempfile.TemporaryDirectory() as screens:
            out, err = Path(screens) / "out", Path(screens) / "err"
            call = {"words": words, "cwd": str(cwd), "env": dict(env), "limit_s": limit_s,
                    "out": str(out), "err": str(err)}  # fmt: skip
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            began = time.monotonic()
            print(json.dumps(call), file=self._server.stdin, flush=True)
            status = int(self._server.stdout.readline())
            seconds = time.monotonic() - began
            return Ended(status, out.read_text(), err.read_text(), seconds)


@contextmanager
def commands(root: Path) -> Iterator[Commands]:
    """Serve until the context ends."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.forked"],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Commands(server)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(timeout=120)


def _serve() -> None:
    # The command's consoles are made here, and what they write goes to files.
    os.environ["TTY_COMPATIBLE"] = "0"
    preload()
    for name in ("flows.cli.main", "flows.cli.render", "flows.cli.doctor", "flows.cli.error_output",
                 "pipeline.verify.repair", "pipeline.rebuild.rebuild",
                 "pipeline.report.html"):  # fmt: skip
        importlib.import_module(name)
    typer.main.get_command = cache(typer.main.get_command)  # whoever calls the app calls it
    typer.main.get_command(importlib.import_module("flows.cli.main").app)
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(call)
        print(_status_of(child, call["limit_s"]), flush=True)


def _run(call: Mapping[str, Any]) -> None:
    """In the child; does not return."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(call["env"])
        os.chdir(call["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(call[name], os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv = ["sensedex", *call["words"]]
        tempfile.tempdir = None  # by the call's own TMPDIR
        from flows.cli.main import main

        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001  as Python itself does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _status_of(child: int, limit_s: float) -> int:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    _serve()
