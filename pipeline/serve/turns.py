"""Turns: how many do a piece of work at once, how many may wait, and who is told to come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from pipeline.serve.problems import ServerBusy

R = TypeVar("R")


class Turns:
    """For the coroutines of one loop. `what` is plural, as in "searches"; `code` and `status` are
    those of the refusal."""

    def __init__(
        self, what: str, at_once: int, waiting: int, *, code: str, status: int = 503
    ) -> None:
        self._what, self._code, self._status = what, code, status
        self._places = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self.taken = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context is open. Raises ServerBusy where too many
        wait already."""
        if self.taken >= self._most:
            raise ServerBusy(
                f"There are {self.taken} {self._what} at once, as many as this server takes.",
                code=self._code, remedy="Ask again in a moment.", status=self._status,
            )  # fmt: skip
        self.taken += 1
        try:
            async with self._places:
                yield
        finally:
            self.taken -= 1


class Workers:
    """Threads for work that blocks, apart from others: who waits for a decoder or for a bucket does
    not keep a search from its thread."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, f"serve-{name}")

    async def do(self, work: Callable[[], R]) -> R:
        """What it returns; raises what it raises. It goes on where nobody waits any more."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """What has not begun is not done."""
        self._pool.shutdown(wait=False, cancel_futures=True)
