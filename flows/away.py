"""Say once, and not at every turn, that Prefect's server does not answer a run that is at work.

What is only looked at must not end a run: without the server nobody looks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx

# What Prefect says of each event that it could not send, with a traceback.
EVENT_LOGGERS = ("prefect.events.clients", "prefect._internal.concurrency")
EVENT_LOST = ("Unable to connect to 'ws", "Service 'EventsWorker' failed")


class _Notice(logging.Filter):
    """Says the sentence the first time, and leaves out Prefect's own lines on lost events."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._said = False

    def once(self, why: str) -> None:
        if not self._said:
            self._said = True
            self._say(
                f"Prefect's server does not answer ({why}). The run goes on; what it cannot tell "
                "now is missing in Prefect's pages."
            )

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.getMessage().startswith(EVENT_LOST):
            return True
        self.once("its event stream is closed")
        return False


_notice: ContextVar[_Notice | None] = ContextVar("prefect_away", default=None)


@contextmanager
def server_may_go_away(say: Callable[[str], None]) -> Iterator[None]:
    """Around a run, in the flow. `say` gets the one sentence, when there is something to say."""
    notice = _Notice(say)
    token = _notice.set(notice)
    loggers = [logging.getLogger(name) for name in EVENT_LOGGERS]
    for logger in loggers:
        logger.addFilter(notice)
    # Prefect's log handler writes to standard error about each batch of lines that it cannot send.
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before
        for logger in loggers:
            logger.removeFilter(notice)
        _notice.reset(token)


@contextmanager
def if_prefect_answers() -> Iterator[None]:
    """Around each thing that is told to Prefect for somebody to look at."""
    try:
        yield
    except httpx.HTTPError as error:
        notice = _notice.get()
        if notice is not None:
            notice.once(str(error))
