"""A reverse proxy that serves a server under a path of its own, as a shared host name does: what is
asked elsewhere it does not know."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

PASSED_ON = ("content-type", "content-encoding")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: ClassVar[str]
    prefix: ClassVar[str]

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.startswith(f"{self.prefix}/"):
            self._answer(404, b"no such path", {"Content-Type": "text/plain"})
            return
        connection = http.client.HTTPConnection(self.host, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path.removeprefix(self.prefix), body, headers)
        answer = connection.getresponse()
        said = {n: v for n, v in answer.getheaders() if n.lower() in PASSED_ON}
        self._answer(answer.status, answer.read(), said)
        connection.close()

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - names of the library

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def under_path(behind: str, prefix: str) -> Iterator[str]:
    """The URL, path included, by which `behind` is reached; `prefix` is as `/search/qdrant`."""

    class Handler(_Handler):
        pass

    Handler.host, Handler.prefix = urlsplit(behind).netloc, prefix
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
