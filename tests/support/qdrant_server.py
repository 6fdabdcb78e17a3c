"""A stand-in for a Qdrant server: its REST interface over the client's own local mode.

What it is good for: the way over HTTP, clients of several processes at once, aliases, a server that
stays when a writer is killed. As a server does, it does the steps of a batch one after the other,
and readers see each. What it is not: it has no graph and no quantization. It takes their
configuration, tells it, keeps it to be looked at in `created` and `changed`, and `blunt` makes
searches that do not ask for `exact` miss every n-th answer and give a worse one for it, as a bad
graph would. The n is `blunt` for its own ef, 100; it grows with the ef, and, where the collection
has a quantization, with the oversampling over what such a one usually takes. The limits of strict
mode it has as a server has them (`tests.support.qdrant_limits`).
"""

from __future__ import annotations

import json
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client import models as q

from tests.support import qdrant_points as points
from tests.support.qdrant_configuration import as_configured, kind_of, merged, optimizations
from tests.support.qdrant_limits import Limits

VERSION = "1.19.0"  # of the server whose ways it has
Answer = Callable[["StandIn", str, dict[str, Any]], Any]


@dataclass
class StandIn:
    """The server's state. Tests may set `blunt`, `busy`: how often it says yellow first, `queued`:
    the points that wait for an optimisation, one number for each time that it is asked, `indexed`:
    the vectors that are, alike, `tells_optimizations`, which older servers do not,
    `batch_takes_s`: how long a batch is at work, whether or not its client still waits, and
    `cores`, which it says that it has. `parameters` are those of each request's address."""

    port: int = 0
    engine: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    lock: threading.RLock = field(default_factory=threading.RLock)
    # What changes a collection stands in line; who reads comes in between two steps of a batch.
    line: threading.RLock = field(default_factory=threading.RLock)
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    parameters: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    limits: dict[str, Limits] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    blunt: int = 0
    busy: int = 0
    batch_takes_s: float = 0.0
    queued: list[int] = field(default_factory=list)
    indexed: list[int] = field(default_factory=list)
    tells_optimizations: bool = True
    cores: int = 64
    answered: dict[str, datetime] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, name: str) -> str:
        """The collection that an alias shows, or that has this name."""
        aliases = {a.alias_name: a.collection_name for a in self.engine.get_aliases().aliases}
        return aliases.get(name, name)

    def limits_of(self, name: str) -> Limits:
        return self.limits.get(self.of(name), Limits())

    def configuration_of(self, name: str) -> dict[str, Any]:
        """As it was made, and changed since."""
        made = self.created.get(self.of(name), {})
        for change in self.changed.get(self.of(name), []):
            made = merged(made, change)
        return made

    def answer(self, method: str, address: str, body: bytes) -> Any:
        found = json.loads(body) if body else {}
        path, _, parameters = address.partition("?")
        self.requests.append((method, path))
        self.parameters.append((path, dict(parse_qsl(parameters))))
        for (verb, pattern), handler in ROUTES.items():
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                name = (match.groups() or ("",))[0]
                asks = method == "PUT" or path.endswith("/exists")
                with (
                    self.line if handler in points.CHANGES else nullcontext(),
                    nullcontext() if handler is points.batch else self.lock,
                ):
                    if name and not asks and not self.engine.collection_exists(name):
                        raise KeyError(f"Collection `{name}` doesn't exist!")
                    result = handler(self, name, found)
                endpoint = pattern.replace(NAME, "/collections/{collection_name}")
                self.answered[f"{verb} {endpoint}"] = datetime.now(UTC)
                return result
        raise KeyError(f"no such request: {method} {path}")


def _telemetry(server: StandIn, _name: str, _body: dict[str, Any]) -> Any:
    """Of the first level of detail, what is looked at."""
    responses = {
        endpoint: {"200": {"count": 1, "last_responded": at.isoformat()}}
        for endpoint, at in server.answered.items()
    }
    return {
        "id": "stand-in",
        "app": {"name": "qdrant", "version": VERSION, "system": {"cores": server.cores}},
        "requests": {"rest": {"responses": responses}, "grpc": {"responses": {}}},
    }


def _create(server: StandIn, name: str, body: dict[str, Any]) -> bool:
    wanted = q.CreateCollection.model_validate(body)
    server.created[name] = body
    server.changed.pop(name, None)
    server.indexes[name] = {}
    server.limits[name] = Limits(strict=body.get("strict_mode_config") or {})
    return server.engine.create_collection(name, vectors_config=wanted.vectors)


def _change(server: StandIn, name: str, body: dict[str, Any]) -> bool:
    server.changed.setdefault(server.of(name), []).append(body)
    server.limits_of(name).strict = server.configuration_of(name).get("strict_mode_config") or {}
    return True


def _info(server: StandIn, name: str, _body: dict[str, Any]) -> Any:
    indexes = server.indexes.get(server.of(name), {})
    found = as_configured(
        server.engine.get_collection(name), server.configuration_of(name), indexes
    )
    if server.busy > 0:
        server.busy -= 1
        found.status = q.CollectionStatus.YELLOW
    if server.indexed:
        found.indexed_vectors_count = _next(server.indexed)
    return found


def _next(told: list[int]) -> int:
    """The next that is to be told; the last one again and again."""
    return told.pop(0) if len(told) > 1 else told[0]


def _optimizations(server: StandIn, _name: str, _body: dict[str, Any]) -> Any:
    if not server.tells_optimizations:
        raise KeyError("no such request")
    return optimizations(_next(server.queued) if server.queued else 0)


def _index(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    field_name, schema = body["field_name"], body["field_schema"]
    server.indexes.setdefault(server.of(name), {})[field_name] = schema
    limits = server.limits.setdefault(server.of(name), Limits())
    limits.indexes[field_name] = kind_of(schema)
    if isinstance(schema, dict) and schema.get("prefix"):
        limits.by_prefix.add(field_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = q.PayloadSchemaType(kind_of(schema))
        return server.engine.create_payload_index(name, field_name, kind)


def _aliases(server: StandIn, _name: str, body: dict[str, Any]) -> bool:
    return server.engine.update_collection_aliases(
        q.ChangeAliasesOperation.model_validate(body).actions
    )


NAME = r"/collections/([^/]+)"
ROUTES: dict[tuple[str, str], Answer] = {
    ("GET", "/collections"): lambda s, _n, _b: s.engine.get_collections(),
    ("GET", "/telemetry"): _telemetry,
    ("GET", "/aliases"): lambda s, _n, _b: s.engine.get_aliases(),
    ("POST", "/collections/aliases"): _aliases,
    ("GET", f"{NAME}/exists"): lambda s, n, _b: {"exists": s.engine.collection_exists(n)},
    ("GET", NAME): _info,
    ("GET", f"{NAME}/optimizations"): _optimizations,
    ("PUT", NAME): _create,
    ("PATCH", NAME): _change,
    ("DELETE", NAME): lambda s, n, _b: s.engine.delete_collection(n),
    ("PUT", f"{NAME}/index"): _index,
    ("PUT", f"{NAME}/points"): points.upsert,
    ("POST", f"{NAME}/facet"): points.facet,
    ("POST", f"{NAME}/points"): points.retrieve,
    ("POST", f"{NAME}/points/batch"): points.batch,
    ("POST", f"{NAME}/points/count"): points.count,
    ("POST", f"{NAME}/points/delete"): points.delete,
    ("POST", f"{NAME}/points/query"): points.query,
    ("POST", f"{NAME}/points/query/batch"): points.query_batch,
    ("POST", f"{NAME}/points/query/groups"): points.query_groups,
    ("POST", f"{NAME}/points/scroll"): points.scroll,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ClassVar[StandIn]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, said = 200, "ok"
        result: Any = None
        try:
            if self.path == "/":
                self.reply(200, json.dumps({"title": "qdrant", "version": VERSION}))
                return
            result = self.server_state.answer(self.command, self.path, body)
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
