"""Starts this process's fork server, asks it for children, and stops it."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

EXIT_WAIT_S = 60.0
"""Long: to give half a gigabyte back takes seconds where memory is short and many want a CPU."""

_MODULE = "pipeline.media.sandbox.server"
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
"""No credential is among them: what decodes hostile media has none."""

_MALLOC = ":".join(
    (
        "glibc.malloc.mmap_threshold=33554432",
        "glibc.malloc.trim_threshold=1073741824",
        "glibc.malloc.hugetlb=1",
    )
)
"""A child keeps what one picture had for the next: to give it back and be given it anew took longer
than to decode a small one (docs/performance.md). It lives for few objects, under a limit. Other
C libraries pass this over."""

_LOCK = threading.Lock()
_servers: list[_Server] = []  # none or one
_stop_registered: list[bool] = []


def prepare_children() -> None:
    """Start the fork server, which takes a second or so, without waiting for it."""
    with _LOCK:
        _server()


def request_child(request: bytes) -> tuple[socket.socket, socket.socket]:
    """A new child for the request: our ends of its line for data, and of that for control, over
    which the server says how it ended."""
    data, child_data = socket.socketpair()
    control, server_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with child_data, server_control, _LOCK:
        try:
            _server().submit(request, child_data, server_control)
        except OSError:  # it died just now: once more, with a new one
            _servers.pop().stop()
            _server().submit(request, child_data, server_control)
    return data, control


def stop_children() -> None:
    """End the fork server and all children of this process."""
    with _LOCK:
        while _servers:
            _servers.pop().stop()


class _Server:
    """The fork server of this process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(__file__).resolve().parents[3])
        environment = {n: os.environ[n] for n in _KEPT_ENVIRONMENT if n in os.environ}
        environment.update(PYTHONPATH=root, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        environment.update(GLIBC_TUNABLES=_MALLOC)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._requests = ours
        self.owner = os.getpid()

    def runs(self) -> bool:
        return self._process.poll() is None

    def submit(self, request: bytes, data: socket.socket, control: socket.socket) -> None:
        socket.send_fds(self._requests, [request], [data.fileno(), control.fileno()])

    def stop(self) -> None:
        self._requests.close()
        if self.owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_WAIT_S)


def _server() -> _Server:
    """The running one, else a new one; _LOCK is held. A fork of this process starts its own."""
    if _servers and (_servers[0].owner != os.getpid() or not _servers[0].runs()):
        _servers.pop().stop()
    if not _servers:
        if not _stop_registered:
            _stop_registered.append(True)
            atexit.register(stop_children)
        _servers.append(_Server())
    return _servers[0]
