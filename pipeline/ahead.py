"""Work ahead: an iterator runs in a thread of its own, some items before who takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

END_WAIT_S = 10.0
"""For what is stopped in the middle of an item, such as a GET. A daemon: it holds no exit up."""


@contextmanager
def ahead(
    items: Generator[T, None, None], most: int, *, end_wait_s: float = END_WAIT_S
) -> Iterator[Iterator[T]]:
    """The same items in the same order. Work on them begins on entering, not with the first `next`,
    and is at most `most` items ahead.

    What `items` raises is raised by `next`, after the items before it. Leaving stops the work after
    the item that it is at, which is waited for `end_wait_s`; `items` is closed in the thread that
    ran it.
    """
    ready: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    room = threading.Semaphore(most)
    stopped = threading.Event()

    def produce() -> None:
        end: tuple[Any, ...] = (None, True)
        try:
            with closing(items):
                while room.acquire() and not stopped.is_set():
                    ready.put((next(items), False))
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001  it is raised again by `next`
            end = (error, True)
        ready.put(end)

    def taken() -> Iterator[T]:
        while True:
            item, is_end = ready.get()
            if is_end:
                if item is not None:
                    raise item
                return
            room.release()
            yield item

    worker = threading.Thread(target=produce, name="ahead", daemon=True)
    worker.start()
    try:
        yield taken()
    finally:
        stopped.set()
        room.release()
        worker.join(end_wait_s)
