"""Runs the API on an address until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import SettingsError
from pipeline.serve.api import make_app
from pipeline.serve.front import OnAsked
from pipeline.serve.keys import check_guarded
from pipeline.serve.service import Service, open_service
from pipeline.settings import Settings

THREADS = 32  # for what searches compute and ask
IDLE_S = 15
END_WITHIN_S = 5
MOST_HEADER_BYTES = 32 * 1024

OnReady = Callable[[str, Callable[[], None]], None]
"""Told the address once it answers, and how to end it, from any thread."""
AppOf = Callable[[Service, str, OnAsked], ASGIApp]
"""What is served, of a service, the version and who hears of requests."""


def serve(
    settings: Settings,
    version: str,
    on_ready: OnReady,
    on_asked: OnAsked,
    *,
    app_of: AppOf = make_app,
) -> None:
    """Until SIGINT or SIGTERM, where it runs in the main thread, or until it is ended.

    Raises SettingsError where it would be open to others without a key, or the port is taken, and
    what `open_searcher` raises.
    """
    check_guarded(settings.serve)
    with _listening(settings.serve.host, settings.serve.port) as listener:
        asyncio.run(_serve(settings, version, listener, on_ready, on_asked, app_of))


async def _serve(
    settings: Settings,
    version: str,
    listener: socket.socket,
    on_ready: OnReady,
    on_asked: OnAsked,
    app_of: AppOf,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "serve"))
    async with open_service(settings) as service:
        server = _Server(
            uvicorn.Config(
                app_of(service, version, on_asked),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                ws="none",
                http="h11",
                limit_concurrency=settings.serve.connections,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=END_WITHIN_S,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            )
        )

        def end() -> None:
            loop.call_soon_threadsafe(setattr, server, "should_exit", True)

        loading: list[asyncio.Task[None]] = []

        def started() -> None:
            on_ready(address_of(settings.serve.host, listener), end)
            # The page can be had meanwhile: torch takes its seconds behind it.
            loading.append(asyncio.create_task(service.load()))

        with _ended_by_signals(loop, end):
            server.when_started = started
            await server.serve(sockets=[listener])
            for task in loading:
                task.cancel()


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would send them to this process once more when it has ended."""

    when_started: Callable[[], None] = staticmethod(lambda: None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.when_started()


@contextlib.contextmanager
def _ended_by_signals(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Iterator[None]:
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, end)
    except (ValueError, RuntimeError):  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Before anything is loaded, so that a port that is taken is told at once. Raises
    SettingsError."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"The server cannot listen on {host}, port {port}: {error.strerror}.",
            remedy="Name another one by --port, or by --host.",
        ) from error
    with listener:
        yield listener


def address_of(host: str, listener: socket.socket) -> str:
    """To be opened in a browser of this machine."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)
    return f"http://{shown if ':' not in shown or shown.startswith('[') else f'[{shown}]'}:{port}"
