"""Serve the protocol over standard input and output, for a client that starts this process, or over
HTTP, behind the guard of the API."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from pipeline.serve.bodies import MOST_JSON_BYTES
from pipeline.serve.front import Front, OnAsked
from pipeline.serve.guard import Guard
from pipeline.serve.mcp.server import Called, OnCalled, make_server
from pipeline.serve.server import OnReady, serve
from pipeline.serve.service import Service, open_service
from pipeline.settings import Settings

PATH = "/mcp"
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def serve_stdio(
    settings: Settings, version: str, on_ready: Callable[[], None], on_called: OnCalled
) -> None:
    """Until standard input ends. Nothing but the protocol is on standard output meanwhile: what
    else would be printed goes to standard error. Raises what `open_searcher` raises."""
    with _ended_at_once():
        asyncio.run(_serve_stdio(settings, version, on_ready, on_called))


async def _serve_stdio(
    settings: Settings, version: str, on_ready: Callable[[], None], on_called: OnCalled
) -> None:
    async with open_service(settings) as service:
        server = make_server(service, version, on_called)
        async with stdio_server() as (read, write):
            loading = asyncio.create_task(service.load())
            on_ready()
            await server.run(read, write, server.create_initialization_options())
            loading.cancel()


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """A signal ends the process, as clients expect of one that they have started. A thread waits
    for a line of standard input, which nothing interrupts: an orderly end would wait for it, and
    what only reads has nothing to put in order."""
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_http(
    settings: Settings,
    version: str,
    on_ready: OnReady,
    on_asked: OnAsked,
    on_called: OnCalled,
) -> None:
    """As `pipeline.serve.server.serve`, with its errors: the same keys, host and port."""

    def app_of(service: Service, version: str, on_asked: OnAsked) -> ASGIApp:
        return make_http_app(service, version, on_asked, on_called)

    serve(settings, version, on_ready, on_asked, app_of=app_of)


def make_http_app(
    service: Service, version: str, on_asked: OnAsked, on_called: Callable[[Called], None]
) -> ASGIApp:
    """Each request is of itself and answered in JSON: there is no session to keep, and none to be
    lost when this process is one of several."""
    manager = StreamableHTTPSessionManager(
        make_server(service, version, on_called),
        json_response=True,
        stateless=True,
        max_request_body_size=MOST_JSON_BYTES,
        # Names and origins are the guard's, by the settings.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app = Starlette(
        routes=[Route(PATH, StreamableHTTPASGIApp(manager), methods=["POST"])],
        lifespan=lambda _app: manager.run(),
    )
    return Front(app, Guard(service.settings.serve, service.keys), HEADERS, on_asked)
