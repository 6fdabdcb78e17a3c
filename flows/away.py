"""Say once, and not at every turn, that Prefect's server does not answer a run that is at work.

What is only looked at must not end a run: without the server nobody looks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx


class _Notice:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = False

    def once(self, error: httpx.HTTPError) -> None:
        if not self._said:
            self._said = True
            self._say(
                f"Prefect's server does not answer ({error}). The run goes on; what it cannot tell "
                "now is missing in Prefect's pages."
            )


_notice: ContextVar[_Notice | None] = ContextVar("prefect_away", default=None)


@contextmanager
def server_may_go_away(say: Callable[[str], None]) -> Iterator[None]:
    """Around a run, in the flow. `say` gets the one sentence, when there is something to say."""
    token = _notice.set(_Notice(say))
    # Prefect's log handler writes to standard error about each batch of lines that it cannot send.
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before
        _notice.reset(token)


@contextmanager
def if_prefect_answers() -> Iterator[None]:
    """Around each thing that is told to Prefect for somebody to look at."""
    try:
        yield
    except httpx.HTTPError as error:
        notice = _notice.get()
        if notice is not None:
            notice.once(error)
