"""A reader that polls a collection by HTTP while everything around it is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import IndexUnavailable
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings_index import IndexSettings
from tests.chaos.reading import Live, live_now

# Two cores have a run to do, too.
READ_EVERY_S = 0.02
TRY_AGAIN_S = 0.1


class Witness:
    """`reads` were answered, `refused` were not: the server was away. `seen` has each answer that
    differed from the one before it."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._done = threading.Event()
        self.reads = 0
        self.refused = 0
        self.seen: list[Live] = []

    @contextmanager
    def watching(self) -> Iterator[Witness]:
        thread = threading.Thread(target=self._reporter, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()

    def _reporter(self) -> None:
        while not self._done.is_set():
            try:
                with open_index(self._settings) as index:
                    self._read(index)
            except IndexUnavailable:
                self.refused += 1
                time.sleep(TRY_AGAIN_S)

    def _read(self, index: VectorIndex) -> None:
        while not self._done.is_set():
            now = live_now(index)
            self.reads += 1
            if not self.seen or self.seen[-1] != now:
                self.seen.append(now)
            time.sleep(READ_EVERY_S)
