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
from pipeline.search.request import SearchRequest
from pipeline.search.searcher import SearchAnswer, Searcher, open_searcher
from pipeline.settings import Settings


class AsyncSearcher:
    """An open index with its encoders. Searches may be awaited at once."""

    def __init__(self, searcher: Searcher, answers: AwaitedAnswers) -> None:
        self.searcher = searcher
        self._answers = answers

    async def answer(self, request: SearchRequest) -> SearchAnswer:
        """As `Searcher.answer`, with its errors."""
        return await self.searcher.answer_awaited(request, self._answers)


@asynccontextmanager
async def open_async_searcher(settings: Settings) -> AsyncIterator[AsyncSearcher]:
    """Raises what `open_searcher` does."""
    with ExitStack() as stack:
        searcher = await asyncio.to_thread(stack.enter_context, open_searcher(settings))
        async with open_async_asker(searcher.index, settings.index) as answers:
            yield AsyncSearcher(searcher, answers)
