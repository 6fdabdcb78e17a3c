"""A Qdrant of its own process, on disk, that can be killed at a named moment and started again.

python -m tests.chaos.qdrant_process PORT FOLDER {local,edge}

What answers is the stand-in of `tests.support.qdrant_server`; behind it is the client's own engine
or, as `edge`, the real one (`tests.chaos.edge_engine`). A file `FOLDER/die` names a moment at which
the process is to kill itself with SIGKILL: `upsert`, with half of a request's points written, or
`optimize`, while the engine builds its graph. With `stall` it lives, but writes half of an upsert,
says so in a file `FOLDER/stalled`, and takes its time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from tests.support.qdrant_server import StandIn, qdrant_server

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST_START_S = 60.0
OPTIMIZE_EVERY_S = 0.5
# Into the building of a graph that takes some tenths of a second.
OPTIMIZED_FOR_S = 0.1
STALLED_FOR_S = 2.0


class QdrantProcess:
    """The handle that a test has of it."""

    def __init__(self, folder: Path, port: int, engine: str) -> None:
        self._folder = folder
        self._port = port
        self._engine = engine
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers; does nothing where it runs already."""
        if self.alive():
            return
        command = [sys.executable, "-m", "tests.chaos.qdrant_process", str(self._port)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder), self._engine], cwd=ROOT, stdout=log, stderr=log
            )
        until = time.monotonic() + LONGEST_START_S
        while not self._answers():
            if time.monotonic() > until or not self.alive():
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def arm(self, moment: str) -> None:
        """Let it kill itself when the moment comes next."""
        (self._folder / "die").write_text(moment)

    def stalled(self) -> bool:
        return (self._folder / "stalled").exists()

    def wait_dead(self, within_s: float) -> bool:
        assert self._process is not None
        try:
            return self._process.wait(within_s) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        if self._process is not None and self.alive():
            self._process.terminate()
            self._process.wait(20)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/aliases", timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False


class _Trap:
    """Kills this process at the moment that the file names."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "die"

    def set_for(self, moment: str) -> bool:
        try:
            due = self._file.read_text() == moment
        except FileNotFoundError:
            return False
        if due:
            self._file.unlink()
        return due

    def upsert(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def upsert(name: str, points: Sequence[Any], *more: Any, **named: Any) -> Any:
            if len(points) > 1 and self.set_for("upsert"):
                original(name, points[: len(points) // 2], *more, **named)
                os.kill(os.getpid(), signal.SIGKILL)
            if len(points) > 1 and self.set_for("stall"):
                original(name, points[: len(points) // 2], *more, **named)
                self._file.with_name("stalled").touch()
                time.sleep(STALLED_FOR_S)
            return original(name, points, *more, **named)

        return upsert


def _serve(port: int, folder: Path, engine: str) -> None:
    trap = _Trap(folder)
    state: StandIn
    if engine == "edge":
        from tests.chaos.edge_engine import EdgeEngine

        real = EdgeEngine(folder / "edge")
        state = StandIn(engine=real)  # type: ignore[arg-type]  # it has the methods that are asked
        threading.Thread(target=_optimize, args=(real, state, trap), daemon=True).start()
    else:
        local = QdrantClient(path=str(folder / "local"), force_disable_check_same_thread=True)
        state = StandIn(engine=local)
    state.engine.upsert = trap.upsert(state.engine.upsert)  # type: ignore[method-assign]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with qdrant_server(state, port):
        ended.wait()


def _optimize(engine: Any, state: StandIn, trap: _Trap) -> None:
    """As a server does in the background: build the graph of what was written, again and again."""
    while True:
        time.sleep(OPTIMIZE_EVERY_S)
        if engine.has_work() and trap.set_for("optimize"):
            # By another process: the engine may hold this one's interpreter while it builds.
            wait = f"sleep {OPTIMIZED_FOR_S}; kill -KILL {os.getpid()}"
            subprocess.Popen(["/bin/sh", "-c", wait])
        engine.optimize(state.lock)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
