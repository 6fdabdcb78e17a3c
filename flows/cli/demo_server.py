"""The demo's S3-compatible server: moto on loopback, on a free port, with its requests counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """The demo's screen is for the run, not for a web server's log."""


class DemoServer:
    """`url` to give as the endpoint; `requests` counts what was asked of objects, by method.
    `around` may put something between the requests and the server."""

    def __init__(self, around: Callable[[Any], Any] = lambda app: app) -> None:
        app = around(DomainDispatcherApplication(create_backend_app))
        self.requests: Counter[str] = Counter()

        def counting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
            if bucket and not bucket.startswith("moto-api"):
                self.requests[environ["REQUEST_METHOD"] + (" object" if key else " bucket")] += 1
            body: Iterable[bytes] = app(environ, start_response)
            return body

        self._server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        self._server.serve_forever()

    def stop(self) -> None:
        self._server.shutdown()


@contextmanager
def demo_server() -> Iterator[DemoServer]:
    """A server in a thread of this process: it cannot outlive the demo."""
    server = DemoServer()
    thread = threading.Thread(target=server.serve, daemon=True, name="demo-s3")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(timeout=5)
