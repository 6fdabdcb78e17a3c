"""The addresses of searches, assets and facets: they read a request, and the service answers."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from encoders.protocol import Encoder
from pipeline.index.conditions import Condition, parse_condition
from pipeline.local_files import scratch_folder
from pipeline.search.request import SearchRequest
from pipeline.serve import answers
from pipeline.serve.bodies import (
    FILE_KINDS,
    MOST_JSON_BYTES,
    Received,
    receive,
    receive_json,
    save,
    with_values,
)
from pipeline.serve.described import JSON_SEARCH, SEARCH
from pipeline.serve.problems import RequestRefused
from pipeline.serve.service import MOST_SEGMENTS, Service

MOST_CONDITIONS = 16
Where = Annotated[
    list[str],
    Query(
        max_length=MOST_CONDITIONS,
        description="A condition in words, as --where has them: `type=video`.",
    ),
]
Cursor = Annotated[str, Query(max_length=200, description="That of the answer before.")]


def search_routes(service: Service) -> APIRouter:
    """All of them are under /v1."""
    router = APIRouter(prefix="/v1")

    @router.post("/search", response_model=answers.Found, openapi_extra=SEARCH)
    async def search(
        request: Request,
        look: Annotated[
            bool, Query(description="Whether each object is looked at, if it can be played.")
        ] = True,
    ) -> Response:
        """Find moments by words, pictures, sounds, videos, stored moments, or a sum of them."""
        if not _has_files(request):
            received = await receive(request, service.settings.serve)
            return as_json(await service.search(received.request, look=look))
        async with service.receiving.one():
            received = await receive(request, service.settings.serve)
            try:
                values = await _taken(service, received)
            finally:
                await received.close()
        found = with_values(received.request, values)
        return as_json(await service.search(found, look=look, uploads=values))

    @router.get("/assets/{asset_id}", response_model=answers.Asset)
    async def asset(asset_id: str) -> Response:
        """An asset, as it was indexed."""
        return as_json(await service.asset(asset_id))

    @router.get("/assets/{asset_id}/segments", response_model=answers.Segments)
    async def segments(
        asset_id: str,
        limit: Annotated[int, Query(ge=1, le=MOST_SEGMENTS)] = 500,
        cursor: Cursor = "",
    ) -> Response:
        """The windows of an asset, in the order of time."""
        return as_json(await service.segments(asset_id, limit=limit, cursor=cursor))

    @router.post(
        "/assets/{asset_id}/segments", response_model=answers.Segments, openapi_extra=JSON_SEARCH
    )
    async def scored_segments(
        request: Request,
        asset_id: str,
        limit: Annotated[int, Query(ge=1, le=MOST_SEGMENTS)] = 500,
        cursor: Cursor = "",
    ) -> Response:
        """The same, with the cosines of a search."""
        asked = await receive_json(request, service.settings.serve)
        return as_json(
            await service.segments(asset_id, limit=limit, cursor=cursor, scored_by=asked)
        )

    @router.get("/assets/{asset_id}/similar", response_model=answers.Found)
    async def similar(
        asset_id: str,
        at_ms: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 10,
        cursor: Cursor = "",
        where: Where = [],  # noqa: B006 - FastAPI copies it
    ) -> Response:
        """What is like the asset at that time, in other assets."""
        return as_json(
            await service.similar(
                asset_id, at_ms=at_ms, limit=limit, cursor=cursor, where=conditions(where)
            )
        )

    @router.get("/facets", response_model=answers.Facets)
    async def facets(
        field: Annotated[list[str], Query(max_length=MOST_CONDITIONS)] = [],  # noqa: B006
        where: Where = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> Response:
        """What a collection can be narrowed by, and how many windows have it."""
        return as_json(await service.facets(field, conditions(where), limit))

    return router


def _has_files(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/")


async def _taken(service: Service, received: Received) -> dict[str, str]:
    """What stands for each upload, by its part; decoded where nothing else can be reached."""
    asked: SearchRequest = received.request
    encoder = await service.readers.do(lambda: service.searcher.searcher.encoder_for(asked.using))
    files = received.files()
    values: dict[str, str] = {}
    for term in asked.terms:
        if term.kind in FILE_KINDS and term.value in files:
            part = files[term.value]
            values[term.value] = await service.decoders.do(
                lambda term=term, part=part: _take(service, encoder, term.kind, part)  # type: ignore[misc]
            )
    return values


def _take(service: Service, encoder: Encoder, kind: Any, part: UploadFile) -> str:
    with scratch_folder() as folder:
        path = folder / "upload"
        save(part, path)
        return service.uploads.take(encoder, kind, path)


def conditions(texts: list[str]) -> tuple[Condition, ...]:
    """Raises RequestRefused that names what is wrong."""
    try:
        if sum(map(len, texts)) > MOST_JSON_BYTES:
            raise ValueError("they are too long")
        return tuple(parse_condition(text) for text in texts)
    except (ValueError, OverflowError) as error:
        raise RequestRefused(
            f"where: {error}.", remedy="docs/query.md lists fields and signs."
        ) from error


def as_json(value: object) -> Response:
    """Never kept by a cache on the way: it is of this moment, and may be of this key alone."""
    body = json.dumps(value, ensure_ascii=True, allow_nan=False).encode()
    return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")
