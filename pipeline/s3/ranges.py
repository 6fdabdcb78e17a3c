"""An object of which parts are fetched, as they are asked for, into a file of its whole size.

The rest of the file is holes, which take no room on the disk and read as zeros. Each part is asked
for under the precondition of the first (If-Match, and the version), so that all are of the object
that was listed; one that has changed meanwhile is as good as gone.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.byte_ranges import ByteRanges
from pipeline.errors import StoreUnavailable, printable
from pipeline.records import FetchedObject, MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.fetch import PART_BYTES, PARTS_AT_ONCE, fetch_part
from pipeline.s3.quick_get import QuickGet

READ_BYTES = 64 * 2**10
"""What is read of a place where something small is wanted."""


class NoRangesError(Exception):
    """The server sends the whole object where a part of it is asked for."""


class RangedFile:
    """For one thread at a time. What it asks for raises what `fetch_to_file` raises, and the first
    part NoRangesError."""

    def __init__(
        self, client: S3Client, obj: MediaObject, path: Path, quick: QuickGet | None = None
    ) -> None:
        self._client = client
        self._obj = obj
        self._quick = quick
        self._path = path
        self._found: FetchedObject | None = None
        self._lock = threading.Lock()
        self.fetched = ByteRanges()
        with path.open("wb") as file:
            file.truncate(obj.size_bytes)

    @property
    def found(self) -> FetchedObject:
        """What the source says of the object; known with the first part."""
        if self._found is None:
            raise ValueError("nothing of the object was fetched yet")
        return self._found

    def read(self, start: int, stop: int) -> bytes:
        """These bytes, from the file where they are there; else with what follows them."""
        if not self.fetched.contain(start, stop):
            more = min(max(stop, start + READ_BYTES), self._obj.size_bytes)
            self.fetch(ByteRanges([(start, more)]))
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), stop - start, start)

    def fetch(self, ranges: ByteRanges) -> None:
        """What is not there of them, several parts at once."""
        missing = ranges.minus(self.fetched)
        parts = [
            (at, min(at + PART_BYTES, stop))
            for start, stop in missing
            for at in range(start, stop, PART_BYTES)
        ]
        if not parts:
            return
        with self._path.open("r+b") as file:
            number = file.fileno()
            if len(parts) == 1:
                self._part(number, *parts[0])
            else:
                with ThreadPoolExecutor(PARTS_AT_ONCE, "part") as pool:
                    running = [pool.submit(self._part, number, *part) for part in parts]
                    try:
                        for each in running:
                            each.result()
                    finally:
                        for each in running:
                            each.cancel()
        self.fetched = self.fetched.plus(missing)

    def fetch_rest(self) -> None:
        """All that is not there yet."""
        self.fetch(ByteRanges([(0, self._obj.size_bytes)]))

    def _part(self, number: int, start: int, stop: int) -> None:
        found = fetch_part(self._client, self._obj, number, start, stop, self._quick)
        if found is None and self._found is None:
            raise NoRangesError
        if found is None:
            raise StoreUnavailable(
                f"The server sent all of {printable(self._obj.uri)} where a part was asked for.",
                remedy="Run again; set decode.sampling to exact if it goes on.",
            )
        with self._lock:
            self._found = self._found or found
