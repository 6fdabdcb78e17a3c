"""A real S3-compatible server (moto) on loopback that counts what it is asked."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Tests look at `requests`."""


def _nothing() -> None:
    """No test waits."""


class S3Server:
    """`requests` holds (method, path) of each request, the path decoded: "/bucket/key".

    Tests may set `before_object_get`, which is called before a GET of an object is answered.
    `around` may put something between the requests and moto.
    """

    def __init__(self, around: Callable[[Any], Any] = lambda app: app) -> None:
        self._app = around(DomainDispatcherApplication(create_backend_app))
        self.requests: list[tuple[str, str]] = []
        self.before_object_get: Callable[[], None] = _nothing
        self._server = make_server(
            "127.0.0.1", 0, self._counted, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def _counted(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0]
        method, path = environ["REQUEST_METHOD"], unquote(raw)
        self.requests.append((method, path))
        if method == "GET" and path.strip("/").count("/") > 0:
            self.before_object_get()
        body: Iterable[bytes] = self._app(environ, start_response)
        return body

    def settings(self, bucket: str = "media", **fields: Any) -> SourceSettings:
        return SourceSettings(bucket=bucket, endpoint_url=self.url, **fields)

    def client(self) -> Any:
        """The client that the pipeline itself uses."""
        return s3.make_client(self.settings())

    def count(self, method: str, key: str | None = None) -> int:
        """Requests by that method, of objects only (`key`: of that one, as "bucket/key")."""
        return sum(
            1
            for verb, path in self.requests
            if verb == method
            and (path == f"/{key}" if key is not None else path.strip("/").count("/") > 0)
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()


def fill(server: S3Server, objects: Mapping[str, bytes]) -> None:
    """Objects by key in the bucket `media`, each with a field of a user; then nothing was asked."""
    client = server.client()
    for key, body in objects.items():
        client.put_object(Bucket="media", Key=key, Body=body, Metadata={"shelf": "a7"})
    server.requests.clear()


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """For measurements, which are no tests: no bucket is in it that moto does not remember."""
    server = S3Server()
    try:
        yield server
    finally:
        server.stop()


def reset_moto(url: str) -> None:
    """moto keeps its buckets for the whole process: a new server does not mean an empty one."""
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
