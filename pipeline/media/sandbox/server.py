"""Forks the decoding children: `python -m pipeline.media.sandbox.server FD`.

Forking from here is cheap (a few ms) and safe, as this process has one thread and has imported
nothing but what decoding needs. The parent asks over a socket and hands two sockets in with each
request: one for the data, of which only the child keeps an end, and one for control, over which
the parent is told how the child ended. When the parent closes its end of control, or dies, the
child is killed; when the parent's own connection closes, so is everything. If this process is
killed, the kernel kills its children (PR_SET_PDEATHSIG).

This process leaves the network, once for all children; a child gives up every file but its object.

Not multiprocessing's fork server: that one runs the parent's main module again in each child, and
lives on in its children when the parent is killed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass

from pipeline.media.image import load_formats
from pipeline.media.sandbox import kernel
from pipeline.media.sandbox.child import be_child, find_libraries

_MAX_REQUEST = 1 << 16


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    control: socket.socket


def serve(requests: socket.socket) -> None:
    """Until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    wake_read, wake_write = socket.socketpair()
    wake_write.setblocking(False)
    wake_read.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
    load_formats()
    find_libraries()
    has_namespace = kernel.leave_network()
    gc.collect()
    gc.freeze()  # so that children share what is here, and do not copy it by counting
    children: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is requests:
                    child = _accept(requests, has_namespace)
                    if child is None:
                        _kill_all(children)
                        return
                    children[child.pid] = child
                    selector.register(child.control, selectors.EVENT_READ, child)
                elif key.fileobj is wake_read:
                    _drain(wake_read)
                elif isinstance(key.data, _Child) and key.data.pid in children:
                    _kill(key.data.pid)  # the parent closed its end, or wants it ended
                    selector.unregister(key.data.control)
            _reap(children, selector)


def _accept(requests: socket.socket, has_namespace: bool) -> _Child | None:
    """Forks a child for the next request; None when the parent is gone."""
    try:
        message, handed, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 2)
    except ConnectionError:
        return None
    if not message or len(handed) != 2:
        return None
    data, control = (socket.socket(fileno=number) for number in handed)
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        be_child(data, server, json.loads(message), has_namespace)
    data.close()
    return _Child(pid, control)


def _reap(children: dict[int, _Child], selector: selectors.BaseSelector) -> None:
    while children:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        child = children.pop(pid, None)
        if child is None:
            continue
        # What the child may have started is of its group and goes with it.
        _kill_group(pid)
        if child.control in selector.get_map():
            selector.unregister(child.control)
        report = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_rss_bytes": usage.ru_maxrss * 1024,
        }
        with contextlib.suppress(OSError):  # nobody may ask any more
            child.control.send(json.dumps(report).encode())
        child.control.close()


def _kill(pid: int) -> None:
    _kill_group(pid)
    os.kill(pid, signal.SIGKILL)  # before it has made its group


def _kill_group(pid: int) -> None:
    # It may have made none yet, or all of it is gone.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill_all(children: dict[int, _Child]) -> None:
    for pid in children:
        _kill(pid)
    for pid in children:
        os.waitpid(pid, 0)


def _drain(pipe: socket.socket) -> None:
    try:
        while pipe.recv(4096):
            pass
    except BlockingIOError:
        pass


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
