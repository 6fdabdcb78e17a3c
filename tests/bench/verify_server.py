"""A server that answers as Qdrant's REST interface does, from what `tests.bench.verify` made: pages
of points, points by their ids, the configuration. Run as a process of its own; prints its port.

The pages are made before it says so, in the order in which Qdrant has them (by id): what is to be
measured is the verifier, not this.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from pipeline.ids import anchor_id
from pipeline.index.load import ASSET_FIELDS, NOT_ALWAYS
from tests.bench.verify import SEGMENTS, Made

POINTS_PER_PAGE = 2_000


class Points:
    """Everything that is served, as JSON text."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._vectors = [json.dumps(vector.tolist()) for vector in made.pool]
        self._place: dict[str, tuple[int, int]] = {}
        for number in range(made.objects):
            asset = made.asset(number)
            self._place[anchor_id(asset)] = (number, -1)
            for segment in range(SEGMENTS):
                self._place[made.point(number, segment)] = (number, segment)
        ids = sorted(self._place)
        self.pages = [
            [self._brief(point) for point in ids[start : start + POINTS_PER_PAGE]]
            for start in range(0, len(ids), POINTS_PER_PAGE)
        ]

    def page(self, number: int) -> str:
        after = number + 1 if number + 1 < len(self.pages) else None
        points = ",".join(self.pages[number])
        return f'{{"points": [{points}], "next_page_offset": {json.dumps(after)}}}'

    def whole(self, ids: list[str]) -> str:
        return f"[{','.join(self._whole(point) for point in ids if point in self._place)}]"

    def _brief(self, point: str) -> str:
        number, segment = self._place[point]
        more = (
            {"kind": "segment", "live": True}
            if segment >= 0
            else {"segments": SEGMENTS, "sequence": 1}
        )
        fields: dict[str, Any] = {
            "asset_id": self._made.asset(number),
            "generation": self._made.generation(number),
        }
        return json.dumps({"id": point, "payload": {"kind": "asset", **fields, **more}})

    def _whole(self, point: str) -> str:
        number, segment = self._place[point]
        payload = self._made.payload(number, max(0, segment))
        if segment >= 0:
            payload |= {"live": True, "sequence": 1, "run_id": "a"}
            vector = self._vectors[self._made.in_pool(number, segment)]
        else:
            payload = {
                name: payload.get(name)
                for name in ASSET_FIELDS
                if name in payload or name not in NOT_ALWAYS
            }
            payload |= {"kind": "asset", "segments": SEGMENTS, "status": "indexed"}
            payload |= {"decoded_ms": SEGMENTS * 2000}
            total = sum(
                self._made.pool[self._made.in_pool(number, s)].astype(np.float64)
                for s in range(SEGMENTS)
            )
            vector = json.dumps((total / np.linalg.norm(total)).tolist())
        fields = json.dumps({"id": point, "payload": payload})
        return f'{fields[:-1]}, "vector": {{"vision": {vector}}}}}'

    def answer(self, path: str, asked: dict[str, Any]) -> str:
        if path.endswith("/points/scroll"):
            return self.page(asked.get("offset") or 0)
        if path.endswith("/points"):
            return self.whole(asked["ids"])
        if path.endswith("/exists"):
            return '{"exists": true}'
        if path.endswith("/aliases"):
            return '{"aliases": []}'
        if path == "/collections":
            return '{"collections": []}'
        return json.dumps(_configuration(self._made.dimension))


def _configuration(dimension: int) -> dict[str, Any]:
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "config": {
            "params": {"vectors": {"vision": {"size": dimension, "distance": "Cosine"}}},
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


def serve(points: Points) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            result = points.answer(self.path.partition("?")[0], json.loads(body or b"{}"))
            about = '"title": "qdrant", "version": "1.19.0"'  # what its root page says
            data = f'{{{about}, "result": {result}, "status": "ok", "time": 0.0}}'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815  names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Points(Made(int(sys.argv[1]), int(sys.argv[2]))))
