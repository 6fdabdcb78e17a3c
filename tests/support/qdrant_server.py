"""A stand-in for a Qdrant server: its REST interface over the client's own local mode.

What it is good for: the way over HTTP, clients of several processes at once, aliases, a server that
stays when a writer is killed. As a server does, it does the steps of a batch one after the other,
and readers see each. What it is not: it has no graph and no quantization. It takes their
configuration, keeps it to be looked at in `created` and `changed`, and `blunt` makes searches that
do not ask for `exact` miss every n-th answer and give a worse one for it, as a bad graph would. The
n is `blunt` for its own ef, 100, and an oversampling of 2 or none; it grows with the ef, and with
the oversampling where the collection has a quantization.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client import models as q

VERSION = "1.19.0"  # of the server whose ways it has
BETWEEN_STEPS_S = 0.001
OWN_EF = 100
USUAL_OVERSAMPLING = 2.0
Answer = Callable[["StandIn", str, dict[str, Any]], Any]


@dataclass
class StandIn:
    """The server's state. Tests may set `blunt`, and `busy`: how often it says yellow first."""

    port: int = 0
    engine: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    lock: threading.RLock = field(default_factory=threading.RLock)
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    blunt: int = 0
    busy: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, body: bytes) -> Any:
        found = json.loads(body) if body else {}
        self.requests.append((method, path))
        for (verb, pattern), handler in ROUTES.items():
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                name = (match.groups() or ("",))[0]
                asks = method == "PUT" or path.endswith("/exists")
                with nullcontext() if handler is _batch else self.lock:
                    if name and not asks and not self.engine.collection_exists(name):
                        raise KeyError(f"Collection `{name}` doesn't exist!")
                    return handler(self, name, found)
        raise KeyError(f"no such request: {method} {path}")


def _create(server: StandIn, name: str, body: dict[str, Any]) -> bool:
    wanted = q.CreateCollection.model_validate(body)
    server.created[name] = body
    return server.engine.create_collection(name, vectors_config=wanted.vectors)


def _change(server: StandIn, name: str, body: dict[str, Any]) -> bool:
    server.changed.setdefault(name, []).append(body)
    return True


def _info(server: StandIn, name: str, _body: dict[str, Any]) -> Any:
    found = server.engine.get_collection(name)
    found.config.quantization_config = _quantization(server, name)
    if server.busy > 0:
        server.busy -= 1
        found.status = q.CollectionStatus.YELLOW
    return found


def _quantization(server: StandIn, name: str) -> Any:
    """That a collection, or the one behind an alias, was created with."""
    behind = {a.alias_name: a.collection_name for a in server.engine.get_aliases().aliases}
    created = server.created.get(behind.get(name, name), {})
    return q.CreateCollection.model_validate({"vectors": {}, **created}).quantization_config


def _misses(server: StandIn, name: str, params: q.SearchParams | None) -> int:
    """Every which answer a search does not find; 0 where it finds all."""
    if not server.blunt or (params and params.exact):
        return 0
    wider = ((params.hnsw_ef if params else None) or OWN_EF) / OWN_EF
    asked = params.quantization.oversampling if params and params.quantization else None
    if asked and _quantization(server, name) is not None:
        wider *= asked / USUAL_OVERSAMPLING
    return max(1, int(server.blunt * wider))


def _index(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    wanted = q.CreateFieldIndex.model_validate(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return server.engine.create_payload_index(name, wanted.field_name, wanted.field_schema)


def _aliases(server: StandIn, _name: str, body: dict[str, Any]) -> bool:
    return server.engine.update_collection_aliases(
        q.ChangeAliasesOperation.model_validate(body).actions
    )


def _query(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.QueryRequest.model_validate(body)
    limit = asked.limit or 10
    missing = _misses(server, name, asked.params)
    found = server.engine.query_points(
        name,
        query=asked.query,
        using=asked.using,
        query_filter=asked.filter,
        limit=2 * limit if missing else limit,
        with_payload=True if asked.with_payload is None else asked.with_payload,
    )
    if missing:
        seen = [p for n, p in enumerate(found.points, start=1) if n % missing]
        found.points = seen[:limit]
    return found


def _scroll(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.ScrollRequest.model_validate(body)
    points, offset = server.engine.scroll(
        name,
        scroll_filter=asked.filter,
        limit=asked.limit or 10,
        offset=asked.offset,
        with_payload=True if asked.with_payload is None else asked.with_payload,
        with_vectors=asked.with_vector or False,
    )
    return q.ScrollResult(points=points, next_page_offset=offset)


def _retrieve(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.PointRequest.model_validate(body)
    wanted = True if asked.with_payload is None else asked.with_payload
    vectors = asked.with_vector or False
    return server.engine.retrieve(name, asked.ids, with_payload=wanted, with_vectors=vectors)


def _count(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    return server.engine.count(name, count_filter=q.CountRequest.model_validate(body).filter)


def _upsert(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    wanted = q.PointsList.model_validate(body)
    return server.engine.upsert(name, wanted.points, update_filter=wanted.update_filter)


def _delete(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    selector: Any = TypeAdapter(q.PointsSelector).validate_python(body)
    return server.engine.delete(name, selector)


def _batch(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    """The lock is given back between two steps, for long enough that who waits gets it."""
    answers = []
    for step in q.UpdateOperations.model_validate(body).operations:
        with server.lock:
            try:
                answers += server.engine.batch_update_points(name, [step])
            except KeyError as error:  # the client's engine names the point, and no more
                missing = str(error.args[0]).removeprefix("No point with id ")
                raise KeyError(f"Not found: No point with id {missing} found") from error
        time.sleep(BETWEEN_STEPS_S)
    return answers


NAME = r"/collections/([^/]+)"
ROUTES: dict[tuple[str, str], Answer] = {
    ("GET", "/collections"): lambda s, _n, _b: s.engine.get_collections(),
    ("GET", "/aliases"): lambda s, _n, _b: s.engine.get_aliases(),
    ("POST", "/collections/aliases"): _aliases,
    ("GET", f"{NAME}/exists"): lambda s, n, _b: {"exists": s.engine.collection_exists(n)},
    ("GET", NAME): _info,
    ("PUT", NAME): _create,
    ("PATCH", NAME): _change,
    ("DELETE", NAME): lambda s, n, _b: s.engine.delete_collection(n),
    ("PUT", f"{NAME}/index"): _index,
    ("PUT", f"{NAME}/points"): _upsert,
    ("POST", f"{NAME}/points"): _retrieve,
    ("POST", f"{NAME}/points/batch"): _batch,
    ("POST", f"{NAME}/points/count"): _count,
    ("POST", f"{NAME}/points/delete"): _delete,
    ("POST", f"{NAME}/points/query"): _query,
    ("POST", f"{NAME}/points/scroll"): _scroll,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ClassVar[StandIn]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        status, said = 200, "ok"
        result: Any = None
        try:
            if path == "/":
                self.reply(200, json.dumps({"title": "qdrant", "version": VERSION}))
                return
            result = self.server_state.answer(self.command, path, body)
        except KeyError as error:
            status, said = 404, str(error.args[0])
        except ValueError as error:
            status, said = 400, str(error)
        told = TypeAdapter(Any).dump_json(result).decode()
        reply = f'{{"result": {told}, "status": {json.dumps(said)}, "time": 0.0}}'
        if status != 200:
            reply = json.dumps({"status": {"error": said}, "time": 0.0})
        self.reply(status, reply)

    def reply(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is no news; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def qdrant_server(state: StandIn | None = None, port: int = 0) -> Iterator[StandIn]:
    """Serve on the port of the loopback, by default any free one, until the context ends. The
    engine of a state that is given stays its giver's to close."""
    state = StandIn() if state is None else state
    handler = type("Handler", (_Handler,), {"server_state": state})
    server = _Server(("127.0.0.1", port), handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
