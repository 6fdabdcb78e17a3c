"""All that can be asked of a server, as functions: the HTTP API is made of them, and so may be any
other way to it. They take records and give the JSON of `answers.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from encoders.errors import EncoderError
from pipeline import codec
from pipeline.errors import SensedexError, SettingsError
from pipeline.index.conditions import Condition
from pipeline.metrics.serving import ServeMetrics
from pipeline.payload import indexed_object
from pipeline.records import MediaObject
from pipeline.report.read import read_report, read_reports, read_running_run
from pipeline.search.awaited import AsyncSearcher, open_async_searcher
from pipeline.search.encoded import EncodedTerms
from pipeline.search.request import SearchRequest, Term, TermKind
from pipeline.serve.addresses import Addresses, run_facts
from pipeline.serve.bodies import without_files
from pipeline.serve.keys import Keys
from pipeline.serve.objects import Objects
from pipeline.serve.overview import FACETS, about, check_countable, counted
from pipeline.serve.posters import Posters
from pipeline.serve.problems import RequestRefused, ServerBusy
from pipeline.serve.turns import Turns, Workers
from pipeline.serve.uploads import UploadedTerms
from pipeline.settings import Settings

R = TypeVar("R")
MOST_SEGMENTS = 1_000
READERS = 16
LOOKERS = 32  # connections that a client of S3 has
LOOK_WITHIN_S = 5.0
UNKNOWN = "store_unavailable"


class Service:
    """Over one collection, for the coroutines of one loop. Every method raises IndexUnavailable,
    ServerBusy where too much is asked at once, and RequestRefused."""

    def __init__(self, settings: Settings, searcher: AsyncSearcher, uploads: UploadedTerms) -> None:
        serve = settings.serve
        self.settings = settings
        self.searcher = searcher
        self.uploads = uploads
        self.keys = Keys(serve)
        self.metrics = ServeMetrics()
        self.readers = Workers("reader", READERS)
        self._lookers = Workers("looker", LOOKERS)
        self.decoders = Workers("decoder", serve.decoders)
        self.objects = Objects(settings.source, serve.look_for_s)
        self.posters = Posters(self.objects, settings, self.decoders, self.readers)
        self.playing = Turns("plays", serve.plays_at_once, 0, code="too_many_plays")
        self.receiving = Turns(
            "uploads", serve.uploads_at_once, 0, code="too_many_uploads", status=429
        )
        self._addresses = Addresses(self.keys)
        self._browser = searcher.searcher.index.browser()
        self._searching = Turns(
            "searches", serve.searches_at_once, serve.searches_waiting, code="too_many_searches"
        )
        self._encoder = "loading"

    async def load(self) -> None:
        """The encoder, so that nobody waits for it; `ready` says what came of it."""
        try:
            await asyncio.to_thread(self.searcher.searcher.encoder_for)
            self._encoder = "ok"
        except (SensedexError, EncoderError) as error:
            self._encoder = error.code

    async def search(
        self, request: SearchRequest, *, look: bool = True, uploads: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """`answers.Found`. `look`: whether each object is looked at, so that none is shown as
        playable that is not."""
        began = time.perf_counter()
        found = await self._in_turn(self.searcher.answer(without_files(request)))
        seconds = time.perf_counter() - began
        self.metrics.searched(seconds)
        stale = await self._stale((m.payload for m in found.moments), look=look)
        return {
            "moments": [self._addresses.moment(m, stale[m.asset_id]) for m in found.moments],
            "cursor": found.cursor,
            "ranking": str(found.ranking),
            "notes": list(found.notes),
            "uploads": dict(uploads or {}),
            "took_ms": round(1000 * seconds, 1),
        }

    async def asset(self, asset_id: str) -> dict[str, Any]:
        """`answers.Asset`."""
        anchor = await self.anchor(asset_id)
        stale = await self._stale([anchor], look=True)
        return self._addresses.asset(anchor, stale[anchor["asset_id"]])

    async def segments(
        self,
        asset_id: str,
        *,
        limit: int = 500,
        cursor: str = "",
        scored_by: SearchRequest | None = None,
    ) -> dict[str, Any]:
        """`answers.Segments`; with the cosines of a search, where one is given."""
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 12):
            raise RequestRefused("cursor: it is not one that an answer gave.")
        anchor = await self.anchor(asset_id)
        scores = None
        if scored_by is not None:
            asked = self.searcher.scores(without_files(scored_by), anchor["asset_id"])
            scores = await self._in_turn(asked)
        browser, from_ms = self._browser, int(cursor or 0)
        hits = await self.readers.do(
            lambda: browser.windows(anchor["asset_id"], anchor["generation"], from_ms, limit + 1)
        )
        stale = (await self._stale([anchor], look=True))[anchor["asset_id"]]
        return {
            "asset_id": anchor["asset_id"],
            "segments": [
                self._addresses.segment(
                    hit, None if scores is None else scores.get(hit.point_id, {}), stale=bool(stale)
                )
                for hit in hits[:limit]
            ],
            "total": anchor["segments"],
            "cursor": str(hits[limit].payload["start_ms"]) if len(hits) > limit else "",
        }

    async def similar(
        self,
        asset_id: str,
        *,
        at_ms: int = 0,
        limit: int = 10,
        cursor: str = "",
        where: Sequence[Condition] = (),
    ) -> dict[str, Any]:
        """`answers.Found`: what is like the window at that time, in other assets."""
        anchor = await self.anchor(asset_id)
        own = Condition("asset_id", equals=anchor["asset_id"], negated=True)
        term = Term(TermKind.POINT, f"{anchor['asset_id']}@{at_ms}ms")
        request = made(
            lambda: SearchRequest((term,), where=(*where, own), limit=limit, cursor=cursor)
        )
        return await self.search(request)

    async def facets(
        self, fields: Sequence[str], where: Sequence[Condition], limit: int
    ) -> dict[str, Any]:
        """`answers.Facets`."""
        check_countable(fields)
        async with self._searching.one():
            return await self.readers.do(
                lambda: counted(self._browser, fields or FACETS, where, limit)
            )

    async def about(self) -> dict[str, Any]:
        """`answers.About`, without the version."""
        searcher = self.searcher.searcher
        segments = await self.readers.do(self._browser.count)
        calibration = await self.readers.do(searcher.calibration)
        calibrated = calibration is not None
        return about(self.settings, searcher, segments=segments, calibrated=calibrated)

    async def report(self, run_id: str | None) -> dict[str, Any]:
        """As `sensedex report --json`. Raises StateCorrupt, StoreUnavailable."""
        try:
            return codec.to_json(await self.readers.do(lambda: read_report(self.settings, run_id)))
        except SettingsError as error:
            raise RequestRefused(error.message, code="no_report", status=404) from error

    async def runs(self, limit: int) -> dict[str, Any]:
        """`answers.Runs`. Raises StateCorrupt, StoreUnavailable."""
        reports = await self.readers.do(lambda: read_reports(self.settings, limit))
        running = await self.readers.do(lambda: read_running_run(self.settings))
        return {"runs": run_facts(reports), "running": None if running is None else asdict(running)}

    async def ready(self) -> dict[str, str]:
        """What a search needs, and `ok` or the code of what is wrong with it."""
        try:
            await self.readers.do(self._browser.count)
            index = "ok"
        except SensedexError as error:
            index = error.code
        return {"encoder": self._encoder, "index": index}

    async def anchor(self, asset_id: str) -> dict[str, Any]:
        """The payload of an asset's own point. Raises RequestRefused `no_asset`."""
        anchor = await self.readers.do(lambda: self._browser.anchor(asset_id))
        if anchor is None:
            raise RequestRefused(
                f"There is no asset {asset_id[:80]!r}.",
                code="no_asset", remedy="A search names the assets.", status=404,
            )  # fmt: skip
        return anchor

    async def object_of(self, asset_id: str, etag: str | None) -> tuple[MediaObject, str]:
        """The object of an asset and its content type. Raises RequestRefused where the asset has
        another content by now than a search has told of."""
        anchor = await self.anchor(asset_id)
        if etag is not None and etag != anchor["etag"]:
            raise RequestRefused(
                "The asset has another content than the one that was found.",
                code="object_changed", remedy="Search again.", status=410,
            )  # fmt: skip
        return indexed_object(anchor), str(anchor["mime"])

    def close(self) -> None:
        """Threads that wait for work end."""
        for workers in (self.readers, self._lookers, self.decoders):
            workers.close()

    async def _in_turn(self, asked: Coroutine[Any, Any, R]) -> R:
        within_s = self.settings.serve.answer_within_s
        try:
            async with asyncio.timeout(within_s), self._searching.one():
                return await asked
        except TimeoutError as error:
            raise ServerBusy(
                f"The search took longer than {within_s:g} s.",
                code="too_slow", remedy="Ask again in a moment.",
            ) from error  # fmt: skip
        finally:
            asked.close()

    async def _stale(
        self, payloads: Iterable[Mapping[str, Any]], *, look: bool
    ) -> dict[str, str | None]:
        """By asset, why it cannot be played. Objects are looked at side by side."""
        first: dict[str, Mapping[str, Any]] = {}
        for payload in payloads:
            first.setdefault(payload["asset_id"], payload)
        if not look:
            return dict.fromkeys(first)
        found = await asyncio.gather(*(self._why(indexed_object(p)) for p in first.values()))
        return dict(zip(first, found, strict=True))

    async def _why(self, obj: MediaObject) -> str | None:
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                return await self._lookers.do(lambda: self.objects.why_stale(obj))
        except TimeoutError:
            return UNKNOWN


def made(record: Callable[[], SearchRequest]) -> SearchRequest:
    """Raises RequestRefused in place of the record's ValueError."""
    try:
        return record()
    except ValueError as error:
        raise RequestRefused(f"{error}.", remedy="See docs/query.md.") from error


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Raises what `open_searcher` raises, and SettingsError for a cache that cannot be."""
    encoded = EncodedTerms(settings.serve.remembered_terms)
    uploads = UploadedTerms(encoded, settings)
    async with open_async_searcher(settings, encoded=encoded, terms_of_file=uploads) as searcher:
        service = Service(settings, searcher, uploads)
        try:
            yield service
        finally:
            service.close()
