"""Bodies of requests, taken in with limits on bytes and time, however slowly they are sent."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from pipeline import codec
from pipeline.search.request import MOST_TERMS, SearchRequest, TermKind
from pipeline.serve.problems import RequestRefused
from pipeline.serve.uploads import PART_NAME, is_value
from pipeline.settings_serve import ServeSettings

MOST_JSON_BYTES = 256 * 1024
REQUEST_FIELD = "request"
FILE_KINDS = (TermKind.IMAGE, TermKind.SOUND, TermKind.VIDEO)
SEE = "See docs/query.md."


@dataclass(frozen=True, slots=True)
class Received:
    """A search, and the file of each of its parts, by their names."""

    request: SearchRequest
    form: FormData | None = None

    def files(self) -> dict[str, UploadFile]:
        """By the name of the part."""
        items = () if self.form is None else self.form.multi_items()
        return {name: part for name, part in items if isinstance(part, UploadFile)}

    async def close(self) -> None:
        """What was received is gone."""
        if self.form is not None:
            await self.form.close()


async def receive_json(request: Request, settings: ServeSettings) -> SearchRequest:
    """Raises RequestRefused."""
    kind = _media_type(request)
    if kind != "application/json" and not (kind.startswith("application/") and "+json" in kind):
        raise _wrong_type(kind, "application/json")
    async with _in_time(settings):
        data = b"".join([part async for part in _bounded(request, MOST_JSON_BYTES)])
    return search_request(data)


async def receive(request: Request, settings: ServeSettings) -> Received:
    """JSON, or multipart with files. Raises RequestRefused."""
    kind = _media_type(request)
    if kind != "multipart/form-data":
        if kind != "application/json":
            raise _wrong_type(kind, "application/json or multipart/form-data")
        return Received(await receive_json(request, settings))
    most = settings.upload_mb * 10**6 + MOST_JSON_BYTES
    parser = MultiPartParser(
        request.headers,
        _bounded(request, most),
        max_files=MOST_TERMS,
        max_fields=1,
        max_part_size=MOST_JSON_BYTES,
    )
    try:
        async with _in_time(settings):
            form = await parser.parse()
    except (MultiPartException, KeyError) as error:  # KeyError: of a header without a boundary
        raise _no_form(getattr(error, "message", "there is no boundary")) from error
    try:
        return _matched(form)
    except BaseException:
        await form.close()
        raise


def search_request(data: bytes | str) -> SearchRequest:
    """Raises RequestRefused that names the field."""
    try:
        found = codec.from_bytes(SearchRequest, data)
    except ValueError as error:
        raise RequestRefused(f"{error}.", remedy=SEE) from error
    if not found.terms:
        raise RequestRefused("terms: there is none.", remedy=SEE)
    return found


def without_files(request: SearchRequest) -> SearchRequest:
    """Raises RequestRefused for a term that names a file: nothing of this machine is read for a
    request."""
    for term in request.terms:
        if term.kind in FILE_KINDS and not is_value(term.value):
            raise RequestRefused(
                f"A term of kind {term.kind} has no upload {term.value[:80]!r}.",
                code="no_file_term",
                remedy="Send it as a part of that name, by multipart/form-data (docs/serve.md).",
            )
    return request


def with_values(request: SearchRequest, values: dict[str, str]) -> SearchRequest:
    """With what stands for each upload in place of its part's name."""
    terms = tuple(
        replace(term, value=values.get(term.value, term.value)) if term.kind in FILE_KINDS else term
        for term in request.terms
    )
    return replace(request, terms=terms)


def save(part: UploadFile, path: Path) -> None:
    """What was received, as a file that a decoder can open."""
    part.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file)


def _matched(form: FormData) -> Received:
    told = form.get(REQUEST_FIELD)
    if not isinstance(told, str):
        raise _no_form(f"there is no field {REQUEST_FIELD!r} with the JSON of the search")
    received = Received(search_request(told), form)
    named = {term.value for term in received.request.terms if term.kind in FILE_KINDS}
    for name in received.files():
        if not PART_NAME.fullmatch(name) or name not in named:
            raise _no_form(f"no term of a file has the value {name[:80]!r}, as one part is called")
    return received


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    told = request.headers.get("content-length", "")
    got = int(told) if told.isascii() and told.isdecimal() and len(told) < 19 else 0
    if got <= most:
        got = 0
        try:
            async for part in request.stream():
                got += len(part)
                if got > most:
                    break
                yield part
        except ClientDisconnect as error:
            raise _no_form("it was cut off") from error
    if got > most:
        raise RequestRefused(
            f"The body is larger than {most:,} bytes.",
            code="too_large", remedy="Send less, or raise serve.upload_mb.", status=413,
        )  # fmt: skip


class _in_time:  # noqa: N801 - a context, as asyncio.timeout is
    def __init__(self, settings: ServeSettings) -> None:
        self._within_s = settings.upload_within_s
        self._timeout = asyncio.timeout(settings.upload_within_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self._timeout.__aexit__(*raised)  # type: ignore[arg-type]
        except TimeoutError as error:
            raise RequestRefused(
                f"The body did not arrive within {self._within_s:g} s.",
                code="too_slow_upload", remedy="Send less at once.", status=408,
            ) from error  # fmt: skip


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _wrong_type(kind: str, wanted: str) -> RequestRefused:
    return RequestRefused(
        f"The body is {kind[:80] or 'of no type'!r}.",
        code="content_type", remedy=f"Send {wanted}.", status=415,
    )  # fmt: skip


def _no_form(why: str) -> RequestRefused:
    return RequestRefused(
        f"The form cannot be read: {why}.",
        code="multipart", remedy="docs/serve.md says how it is built.", status=400,
    )  # fmt: skip
