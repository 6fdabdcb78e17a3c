"""Ctrl-C and SIGTERM: one clean end, whatever the engines underneath make of it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interrupted:
    """`asked` is true once a person, or the system, has asked for the end."""

    asked: bool = False


@contextmanager
def heeding_interrupts() -> Iterator[Interrupted]:
    """Turns both signals into KeyboardInterrupt and remembers that they came.

    A terminal sends Ctrl-C to Prefect's temporary server too; the flow engine then fails to report
    its own end to it, and what arrives here may be a connection error instead of the interrupt.
    """
    seen = Interrupted()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        first, seen.asked = not seen.asked, True
        logging.disable(logging.CRITICAL)  # engines would print tracebacks about each other's end
        if first:
            raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
