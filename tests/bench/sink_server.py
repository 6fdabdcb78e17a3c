"""A server that answers as Qdrant's REST interface does and keeps nothing: what is left to measure
is the client. Run as a process of its own; prints its port."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COLLECTION = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "points_count": 0,
    "indexed_vectors_count": 0,
    "config": {
        "params": {"vectors": {"size": 1024, "distance": "Cosine"}},
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    },
    "payload_schema": {},
}


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        result: Any = True
        if "/points" in self.path:
            result = {"operation_id": 1, "status": "completed"}
        elif self.path.endswith("/exists"):
            result = {"exists": True}
        elif self.path == "/collections":
            result = {"collections": []}
        elif self.path.startswith("/collections/"):
            result = COLLECTION
        elif self.path == "/":
            result = None
        body = json.dumps(
            {"title": "qdrant", "version": "1.16.0"}
            if result is None
            else {"result": result, "status": "ok", "time": 0.0}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer  # noqa: N815  names that http.server asks for

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    print(server.server_port, flush=True)
    server.serve_forever()
