"""The application: routes, errors, the page, and what stands before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from encoders.errors import EncoderError
from pipeline.errors import SensedexError
from pipeline.serve.described import describe
from pipeline.serve.front import Asked, Front, OnAsked, request_id_of, unforeseen
from pipeline.serve.guard import Guard
from pipeline.serve.problems import problem, problem_of
from pipeline.serve.routes_media import media_routes
from pipeline.serve.routes_runs import run_routes
from pipeline.serve.routes_search import search_routes
from pipeline.serve.service import Service

PAGE = Path(__file__).parent / "page"
EXPOSED = ["Content-Range", "Accept-Ranges", "ETag", "Retry-After", "X-Request-ID"]
CODES = {404: "not_found", 405: "method"}


def make_app(service: Service, version: str, on_asked: OnAsked) -> ASGIApp:
    """`on_asked` is told of each request when its answer has ended."""
    app = FastAPI(
        title="sensedex",
        version=version,
        summary="Moments of a bucket's media, found across the senses.",
        docs_url=None,  # they would load scripts from another host
        redoc_url=None,
    )
    app.include_router(search_routes(service))
    app.include_router(media_routes(service))
    app.include_router(run_routes(service, version))
    describe(app)
    _serve_page(app)
    _answer_errors(app)
    _watch(service)

    def asked(one: Asked) -> None:
        service.metrics.answered(one.route, one.method, one.status, one.seconds, one.sent_bytes)
        on_asked(one)

    serve = service.settings.serve
    front = Front(app, Guard(serve, service.keys), security_headers(service), asked)
    if not serve.cors_origins:
        return front
    return CORSMiddleware(
        front,
        allow_origins=serve.cors_origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Type", "Range", "X-API-Key"],
        expose_headers=EXPOSED,
    )


def _serve_page(app: FastAPI) -> None:
    """A route for each of its files, and no path that a client could make one of."""
    files = StaticFiles(directory=PAGE)

    def route(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def send(request: Request) -> Response:
            answer = await files.get_response(name, request.scope)
            answer.headers["Cache-Control"] = "no-cache"
            return answer

        return send

    for file in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        name = file.relative_to(PAGE).as_posix()
        address = "/" if name == "index.html" else f"/{name}"
        app.add_route(address, route(name), ["GET"], include_in_schema=False)


def security_headers(service: Service) -> dict[str, str]:
    """What every answer has, unless it says otherwise itself. The page runs no script but its own
    files, and asks no other host; media from the bucket plays where that is the setting."""
    host = f" {origin}" if (origin := _media_origin(service)) else ""
    others = bool(service.settings.serve.cors_origins)
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src 'self' data: blob:; media-src 'self' blob:{host}; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "cross-origin" if others else "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }


def _media_origin(service: Service) -> str:
    """That of links to the bucket, where media is played from there."""
    source = service.settings.source
    if service.settings.serve.media != "redirect" or source.folder is not None:
        return ""
    if source.endpoint is not None:
        parts = urlsplit(source.endpoint)
        return f"{parts.scheme}://{parts.netloc}"
    return "https://*.amazonaws.com"


def _answer_errors(app: FastAPI) -> None:
    async def ours(request: Request, error: Any) -> Response:
        return problem_of(error, request_id_of(request.scope))

    async def of_http(request: Request, error: Any) -> Response:
        code = CODES.get(error.status_code, "request")
        return problem(
            error.status_code,
            code,
            f"There is nothing for {request.method} at this address."
            if code in CODES.values()
            else HTTPStatus(error.status_code).description or "It cannot be answered.",
            remedy="/openapi.json lists the addresses.",
            request_id=request_id_of(request.scope),
            headers=dict(error.headers or {}),
        )

    async def of_parameters(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return problem(
            422,
            "request",
            f"{place}: {first['msg']}.",
            remedy="/openapi.json says what it may be.",
            request_id=request_id_of(request.scope),
        )

    async def of_nobody(request: Request, error: Exception) -> Response:
        return unforeseen(request.scope, error)

    for kind in (SensedexError, EncoderError):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_parameters)
    app.add_exception_handler(Exception, of_nobody)


def _watch(service: Service) -> None:
    counts = service.searcher.searcher.encoded.counts
    watch = service.metrics.watch
    watch("encoded_terms", "Terms that had to be encoded.", lambda: counts.encoded)
    watch("remembered_terms", "Terms whose vectors were remembered.", lambda: counts.found)
    watch("uploads_at_work", "Uploads being received.", lambda: service.receiving.taken)
    watch("cache_bytes", "Of the folder of pictures.", lambda: service.posters.cache.bytes)
