"""The addresses at which an asset is played and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Send

from pipeline.errors import MediaRejected, SensedexError
from pipeline.records import MediaObject
from pipeline.serve.byte_range import Wanted, http_date, modified_at, wanted
from pipeline.serve.described import MEDIA, POSTER
from pipeline.serve.posters import TYPES
from pipeline.serve.problems import RequestRefused
from pipeline.serve.service import Service

PART_BYTES = 1 << 20  # held in memory for each who plays
TAKEN_WITHIN_S = 60.0
UNKNOWN_TYPE = "application/octet-stream"
# Whatever an object claims to be, a browser makes no page of it.
MEDIA_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox"}
KEPT_S = 3600

Etag = Annotated[
    str | None, Query(max_length=200, description="Of the content that was found; else 410.")
]


def media_routes(service: Service) -> APIRouter:
    """Under /v1/assets."""
    router = APIRouter(prefix="/v1/assets")

    @router.head("/{asset_id}/media", include_in_schema=False)
    @router.get("/{asset_id}/media", response_class=Response, openapi_extra=MEDIA)
    async def media(
        request: Request,
        asset_id: str,
        etag: Etag = None,
    ) -> Response:
        """The object of an asset, all of it or a range; 410 where it is no longer there."""
        obj, mime = await service.object_of(asset_id, etag)
        if service.settings.serve.media == "redirect" and request.method == "GET":
            await service.readers.do(lambda: service.objects.look_now(obj))
            link = await service.readers.do(lambda: service.objects.link(obj))
            if link is not None:
                return RedirectResponse(link, 307, {"Cache-Control": "no-store"})
        return await _sent(service, request, obj, mime)

    @router.get("/{asset_id}/poster", response_class=Response, openapi_extra=POSTER)
    async def poster(
        request: Request,
        asset_id: str,
        at_ms: Annotated[int, Query(ge=0, le=10**9)] = 0,
        width: Annotated[int, Query(ge=16, le=1024, description="Pixels, at most.")] = 480,
        etag: Etag = None,
    ) -> Response:
        """A picture of an asset at a time: WebP, or JPEG where that is not accepted."""
        obj, mime = await service.object_of(asset_id, etag)
        form = "webp" if _takes_webp(request) else "jpeg"
        if mime.startswith("audio/"):
            raise _no_poster("There is nothing to be seen in a sound.")
        try:
            picture = await service.posters.picture(obj, at_ms, width, form)
        except MediaRejected as error:
            raise _no_poster(f"No picture can be made: {error.message}") from error
        kept = f"private, max-age={KEPT_S}" if etag is not None else "no-cache"
        headers = {"Cache-Control": kept, "Vary": "Accept", **MEDIA_HEADERS}
        return Response(picture, 200, headers, TYPES[form])

    return router


async def _sent(service: Service, request: Request, obj: MediaObject, mime: str) -> Response:
    modified = modified_at(obj.last_modified)
    asked = wanted(dict(request.headers.items()), obj.size_bytes, obj.etag, modified)
    headers = {
        "ETag": f'"{obj.etag}"',
        "Accept-Ranges": "bytes",
        # Asked for anew each time: what has left the bucket is not played from a cache.
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"inline; filename*=UTF-8''{_name(obj)}",
        **MEDIA_HEADERS,
        **({} if modified is None else {"Last-Modified": http_date(modified)}),
    }
    if asked.status == 416:
        raise RequestRefused(
            f"The object has {obj.size_bytes} bytes, and none of that range.",
            code="range", status=416,
        ).with_headers({"Content-Range": f"bytes */{obj.size_bytes}"})  # fmt: skip
    if asked.status == 206:
        headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{obj.size_bytes}"
    kind = _content_type(mime)
    if asked.status == 304 or request.method == "HEAD" or asked.start == asked.stop:
        await service.readers.do(lambda: service.objects.look_now(obj))
        if asked.status == 304:
            return Response(None, 304, headers)
        length = str(asked.stop - asked.start)
        return Response(None, asked.status, {**headers, "Content-Length": length}, kind)
    # The first part decides whether there is anything to be sent.
    async with service.playing.one():
        first = await _part(service, obj, asked, asked.start)
    headers["Content-Length"] = str(asked.stop - asked.start)
    return _Playing(_rest(service, obj, asked, first), asked.status, headers, kind)


class _Playing(StreamingResponse):
    """Breaks off where the object has changed meanwhile, and where a part is not taken in time: a
    player that was paused asks for the rest by a range."""

    async def stream_response(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        with suppress(SensedexError, TimeoutError):
            async for part in self.body_iterator:
                async with asyncio.timeout(TAKEN_WITHIN_S):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _rest(
    service: Service, obj: MediaObject, asked: Wanted, first: bytes
) -> AsyncIterator[bytes]:
    """A part is fetched when the one before has been taken: who reads slowly holds one part."""
    async with service.playing.one():
        yield first
        at = asked.start + len(first)
        while at < asked.stop:
            part = await _part(service, obj, asked, at)
            yield part
            at += len(part)


async def _part(service: Service, obj: MediaObject, asked: Wanted, at: int) -> bytes:
    stop = min(at + PART_BYTES, asked.stop)
    return await service.readers.do(lambda: service.objects.read(obj, at, stop))


def _content_type(mime: str) -> str:
    """No type that a browser runs scripts of."""
    plain = mime.partition(";")[0].strip().lower()
    media = plain.startswith(("image/", "audio/", "video/")) and "xml" not in plain
    return plain if media and plain.isascii() and plain.isprintable() else UNKNOWN_TYPE


def _name(obj: MediaObject) -> str:
    name = PurePosixPath(obj.key).name or "media"
    return quote("".join(c for c in name if c.isprintable())[:200], safe="", errors="replace")


def _takes_webp(request: Request) -> bool:
    accepted = request.headers.get("accept", "*/*").lower()
    return "image/webp" in accepted or "image/*" in accepted or "*/*" in accepted


def _no_poster(why: str) -> RequestRefused:
    return RequestRefused(why, code="no_poster", status=404)
