"""Search for an event loop: the same answers as `searcher.Searcher`, awaited.

A server is asked by the client's own coroutines, side by side; what an encoder computes, and a
folder's engine, are in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from pipeline.index.async_asking import open_async_asker
from pipeline.search.driving import AwaitedAnswers
from pipeline.search.encoded import EncodedTerms
from pipeline.search.request import SearchRequest
from pipeline.search.searcher import FileTerms, SearchAnswer, Searcher, open_searcher
from pipeline.search.steps import Scores
from pipeline.settings import Settings


class AsyncSearcher:
    """An open index with its encoders. Searches may be awaited at once."""

    def __init__(self, searcher: Searcher, answers: AwaitedAnswers) -> None:
        self.searcher = searcher
        self._answers = answers

    async def answer(self, request: SearchRequest) -> SearchAnswer:
        """As `Searcher.answer`, with its errors."""
        return await self.searcher.answer_awaited(request, self._answers)

    async def scores(self, request: SearchRequest, asset_id: str) -> Scores:
        """What each window of an asset answers, by point and vector. Raises as `answer` does."""
        return await self.searcher.scores_awaited(request, asset_id, self._answers)


@asynccontextmanager
async def open_async_searcher(
    settings: Settings,
    *,
    encoded: EncodedTerms | None = None,
    terms_of_file: FileTerms | None = None,
) -> AsyncIterator[AsyncSearcher]:
    """Raises what `open_searcher` does."""
    with ExitStack() as stack:
        opening = open_searcher(settings, encoded=encoded, terms_of_file=terms_of_file)
        searcher = await asyncio.to_thread(stack.enter_context, opening)
        async with open_async_asker(searcher.index, settings.index.for_searches()) as answers:
            yield AsyncSearcher(searcher, answers)
