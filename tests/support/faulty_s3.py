"""A proxy before an S3 server that spoils a share of the GETs of objects, as a bucket under load
does: every other one is answered 503, or its body breaks off in the middle."""

from __future__ import annotations

import http.client
import itertools
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please slow down.</Message></Error>"


@dataclass(frozen=True, slots=True)
class Get:
    """One GET of an object: its path, what it asked for, and how it was spoilt, if it was."""

    path: str
    range: str
    if_match: str
    fault: str


class Front:
    """`gets` is what came by. `every`: of that many GETs one is spoilt, 0 for none."""

    def __init__(self, behind: str, every: int) -> None:
        self.host = urlsplit(behind).netloc
        self.every = every
        self.gets: list[Get] = []
        self.port = 0
        self._lock = threading.Lock()
        self._faults = itertools.cycle(("503", "cut"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fault_of(self, path: str, headers: Any) -> str:
        with self._lock:
            due = bool(self.every) and (len(self.gets) + 1) % self.every == 0
            fault = next(self._faults) if due else ""
            asked = (headers.get("Range", ""), headers.get("If-Match", ""))
            self.gets.append(Get(path.partition("?")[0], *asked, fault))
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: ClassVar[Front]

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        of_object = self.command == "GET" and self.path.partition("?")[0].strip("/").count("/") > 0
        fault = self.front.fault_of(self.path, self.headers) if of_object else ""
        if fault == "503":
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        behind = http.client.HTTPConnection(self.front.host, timeout=60)
        behind.request(self.command, self.path, body, dict(self.headers))
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        headers = [h for h in answer.getheaders() if h[0].lower() not in _OWN]
        self._answer(answer.status, headers, content, cut=fault == "cut")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815  http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


_OWN = {"content-length", "connection", "transfer-encoding", "server", "date"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def faulty_front(behind: str, every: int) -> Iterator[Front]:
    """Serve until the context ends."""
    front = Front(behind, every)
    handler = type("Handler", (_Handler,), {"front": front})
    server = _Server(("127.0.0.1", 0), handler)
    front.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
