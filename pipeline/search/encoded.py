"""Terms that were encoded, the last of them: the same words are not encoded twice.

An encoder takes all cores that it can get, so that several at once gain nothing and hold memory:
terms are encoded one after the other, whoever asks for them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass

from pipeline.search.query import QueryTerm

Encoded = tuple[QueryTerm, ...]


@dataclass(slots=True)
class EncodedCounts:
    """How often a term was there, and how often it had to be encoded."""

    found: int = 0
    encoded: int = 0


class EncodedTerms:
    """For any number of threads. `most` terms are kept, those that were asked for last."""

    def __init__(self, most: int = 256, at_once: int = 1) -> None:
        self._most = most
        self._turns = threading.BoundedSemaphore(at_once)
        self._kept: OrderedDict[Hashable, Future[Encoded]] = OrderedDict()
        self._lock = threading.Lock()
        self.counts = EncodedCounts()

    def of(self, key: Hashable, encode: Callable[[], Encoded]) -> Encoded:
        """What `encode` gave for that key; who asks while it is at work waits for it. Raises what
        it raises, which is not kept."""
        with self._lock:
            there = self._kept.get(key)
            mine: Future[Encoded] = Future()
            if there is None:
                self.counts.encoded += 1
                self._kept[key] = mine
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self.counts.found += 1
                self._kept.move_to_end(key)
        if there is not None:
            return there.result()
        try:
            with self._turns:
                made = encode()
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is mine:
                    del self._kept[key]
            mine.set_exception(error)
            raise
        mine.set_result(made)
        return made

    def kept(self, key: Hashable) -> Encoded | None:
        """None where it is not there, or not yet."""
        with self._lock:
            there = self._kept.get(key)
            if there is None or not there.done():
                return None
            self._kept.move_to_end(key)
        return there.result()
