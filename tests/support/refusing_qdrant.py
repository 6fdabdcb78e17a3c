"""A Qdrant that answers every request with one error, in the server's words: by REST, by gRPC."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import grpc


@dataclass(frozen=True, slots=True)
class Refusing:
    """The one answer: a status of HTTP, the name of a gRPC code, words, and Retry-After."""

    status: int
    code: str
    words: str
    retry_after_s: int = 0


@contextmanager
def refusing_rest(answer: Refusing) -> Iterator[int]:
    """The port that it listens on."""
    body = json.dumps({"status": {"error": answer.words}, "time": 0.0}).encode()

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(answer.status)
            if answer.retry_after_s:
                self.send_header("Retry-After", str(answer.retry_after_s))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = refuse  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def refusing_grpc(answer: Refusing) -> Iterator[int]:
    """The port that it listens on."""

    def refuse(_request: bytes, context: grpc.ServicerContext) -> NoReturn:
        if answer.retry_after_s:
            context.set_trailing_metadata((("retry-after", str(answer.retry_after_s)),))
        context.abort(getattr(grpc.StatusCode, answer.code), answer.words)

    class Every(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Every()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
