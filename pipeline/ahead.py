"""Work ahead: iterators run in threads of their own, some items before who takes them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

END_WAIT_S = 10.0
"""For what is stopped in the middle of an item, such as a GET. A daemon: it holds no exit up."""


class Shared(Generic[T]):
    """An iterator of which several threads take items, each item once."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._one_at_a_time = threading.Lock()

    def __iter__(self) -> Shared[T]:
        return self

    def __next__(self) -> T:
        with self._one_at_a_time:
            return next(self._items)


@contextmanager
def ahead(
    *workers: Generator[T, None, None], most: int, end_wait_s: float = END_WAIT_S
) -> Iterator[Iterator[T]]:
    """All items of all workers: those of each in its order, each worker in a thread. Work begins on
    entering, not with the first `next`, and is at most `most` items ahead.

    What a worker raises is raised by `next`, after the items before it. Leaving stops the work
    after the items that it is at, which are waited for `end_wait_s`; a worker is closed in the
    thread that ran it.
    """
    ready: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    room = threading.Semaphore(most)
    stopped = threading.Event()

    def produce(items: Generator[T, None, None]) -> None:
        end: tuple[Any, ...] = (None, True)
        try:
            with closing(items):
                while room.acquire() and not stopped.is_set():
                    ready.put((next(items), False))
        except StopIteration:
            room.release()
        except BaseException as error:  # noqa: BLE001  it is raised again by `next`
            end = (error, True)
        ready.put(end)

    def taken() -> Iterator[T]:
        running = len(workers)
        while running:
            item, is_end = ready.get()
            if not is_end:
                room.release()
                yield item
            elif item is not None:
                raise item
            else:
                running -= 1

    threads = [
        threading.Thread(target=produce, args=(worker,), name="ahead", daemon=True)
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        room.release(len(threads))
        end_by = time.monotonic() + end_wait_s
        for thread in threads:
            thread.join(max(0.0, end_by - time.monotonic()))
