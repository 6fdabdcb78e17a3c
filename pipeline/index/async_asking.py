"""The same questions for who awaits: on a server by the client's own coroutines; of a folder, whose
engine is of one thread, by the usual client in a thread beside the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from qdrant_client import AsyncQdrantClient
from qdrant_client import models as q

from pipeline.ids import anchor_id
from pipeline.index.asking import (
    ANCHOR_FIELDS,
    LIVE,
    Asker,
    batch_request,
    generations_of,
    grouped_request,
    hits_of,
    hits_of_groups,
    payloads_of,
    request_of,
    vectors_of,
)
from pipeline.index.connection import client_options
from pipeline.index.errors import mapped_errors, place_of
from pipeline.index.question import matching, read_consistency, search_params
from pipeline.index.types import (
    AnchorsAsked,
    Asked,
    CountAsked,
    Hit,
    PayloadsAsked,
    VectorsAsked,
    WindowsAsk,
    WindowsAsked,
)
from pipeline.index.vector_index import VectorIndex
from pipeline.settings_index import IndexSettings


@asynccontextmanager
async def open_async_asker(
    index: VectorIndex, settings: IndexSettings
) -> AsyncIterator[ThreadAsker | AsyncAsker]:
    """Beside an index that is open, which has looked at the server and the collection."""
    asker = index.asker()
    if settings.url is None:
        yield ThreadAsker(asker)
        return
    client = AsyncQdrantClient(**client_options(settings))
    try:
        yield AsyncAsker(client, asker, settings)
    finally:
        await client.close()


class ThreadAsker:
    """Of a folder."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def ask(self, asked: Asked) -> Any:
        return await asyncio.to_thread(self._asker.ask, asked)


class AsyncAsker:
    """Of a server. What does not change from search to search, its indexes and its quantization,
    the synchronous asker looks up, in a thread, once a minute."""

    def __init__(self, client: AsyncQdrantClient, asker: Asker, settings: IndexSettings) -> None:
        self._client = client
        self._asker = asker
        self._settings = settings
        self._name = settings.collection
        self._where = place_of(settings)

    async def ask(self, asked: Asked) -> Any:
        """As `Asker.ask`: the same answers, the same errors."""
        match asked:
            case WindowsAsked(asks):
                await asyncio.to_thread(self._asker.check_indexed, asks)
                return await self._windows(asks)
            case AnchorsAsked(asset_ids):
                with mapped_errors("reading anchors", self._where):
                    found = await self._client.retrieve(
                        self._name, list(map(anchor_id, asset_ids)), with_payload=ANCHOR_FIELDS
                    )
                return generations_of(found)
            case VectorsAsked(point_ids):
                with mapped_errors("reading vectors", self._where):
                    found = await self._client.retrieve(
                        self._name, list(point_ids), with_payload=False, with_vectors=True
                    )
                return vectors_of(found)
            case PayloadsAsked(point_ids):
                with mapped_errors("reading payloads", self._where):
                    found = await self._client.retrieve(
                        self._name, list(point_ids), with_payload=True
                    )
                return payloads_of(found)
            case CountAsked():
                with mapped_errors("counting", self._where):
                    counted = await self._client.count(
                        self._name, count_filter=matching(LIVE[:1]), exact=False
                    )
                return counted.count

    async def _windows(self, asks: Sequence[WindowsAsk]) -> list[list[Hit]]:
        oversampling = await asyncio.to_thread(self._asker.oversampling)
        requests = [
            request_of(ask, search_params(self._settings, oversampling, exact=ask.exact))
            for ask in asks
        ]
        alone = [r for ask, r in zip(asks, requests, strict=True) if not ask.per_asset]
        batch: list[list[Hit]] = []
        if alone:
            with mapped_errors("searching", self._where):
                answers = await self._batch(alone)
            batch = [hits_of(answer.points) for answer in answers]
        together = iter(batch)
        found = []
        for ask, request in zip(asks, requests, strict=True):
            found.append(await self._grouped(ask, request) if ask.per_asset else next(together))
        return found

    async def _batch(self, requests: list[q.QueryRequest]) -> Sequence[q.QueryResponse]:
        """See `Asker._batch`."""
        consistency = read_consistency(self._settings)
        if self._settings.prefer_grpc:
            return await self._client.query_batch_points(
                self._name, requests, consistency=consistency
            )
        by_rest = self._client.http.search_api
        answer = await by_rest.query_batch_points(
            **batch_request(self._name, requests, consistency)
        )
        return answer.result or ()

    async def _grouped(self, ask: WindowsAsk, request: q.QueryRequest) -> list[Hit]:
        with mapped_errors("searching by asset", self._where):
            answer = await self._client.query_points_groups(
                self._name,
                "asset_id",
                limit=ask.limit,
                group_size=ask.per_asset,
                consistency=read_consistency(self._settings),
                **grouped_request(request),
            )
        return hits_of_groups(answer)
