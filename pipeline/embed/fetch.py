"""Fetches objects and their sidecars to this machine's disk, some before they are decoded.

What goes wrong with an object is kept with it: it is the decode stage that says how an object ends.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.ahead import Shared, ahead
from pipeline.local_files import remove_abandoned_scratch, room_named, scratch_folder
from pipeline.media.mp4_index import read_index
from pipeline.media.needed_bytes import needed_bytes, wants_parts
from pipeline.planning.diff import verdict_without_get
from pipeline.records import FetchedObject, MediaObject, ObjectOutcome, PlanRow
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.sidecars import MAX_SIDECAR_BYTES, Sidecars, read_sidecars
from pipeline.source.source import PartlyFetched, open_source

logger = logging.getLogger(__name__)

FETCHES_AT_ONCE = 4
MAX_OBJECTS_AHEAD = 16
MAX_BYTES_AHEAD = 256 * 2**20
"""Of objects on the disk that nobody decodes yet; a larger one is fetched by itself."""

_NO_SIDECARS = Sidecars()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object that was planned, and what came of fetching it: its file, or the outcome that the
    listing alone says (`verdict`), or what was raised (`error`). `parts` is there where the file
    has not all of the object, and gets the rest where it is needed. `sidecar_bytes` were fetched
    beside it."""

    planned: PlanRow
    path: Path | None = None
    found: FetchedObject | None = None
    sidecars: Sidecars = _NO_SIDECARS
    verdict: ObjectOutcome | None = None
    error: Exception | None = None
    seconds: float = 0.0
    parts: PartlyFetched | None = None
    sidecar_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Of the object and its sidecars, those that were fetched until now; none of an object
        that did not come, since how far it came is not known."""
        if self.path is None:
            return 0
        if self.parts is not None:
            return self.parts.fetched.size_bytes + self.sidecar_bytes
        return self.planned.object.size_bytes + self.sidecar_bytes

    def delete(self) -> None:
        """The file goes; it is not wanted any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Fetcher:
    """Fetches into a folder, under names of its own, since a key can hold anything. May be shared
    by threads."""

    def __init__(self, settings: SourceSettings, decode: DecodeSettings, folder: Path) -> None:
        self._settings = settings
        self._decode = decode
        self._source = open_source(settings)
        self._folder = folder
        self._numbers = itertools.count()

    def fetch(self, planned: PlanRow) -> Fetched:
        """Never raises for an object's sake."""
        verdict = verdict_without_get(planned, self._settings)
        if verdict is not None:
            return Fetched(planned, verdict=verdict)
        began = time.perf_counter()
        path = self._folder / f"object-{next(self._numbers)}"
        try:
            with room_named():
                parts = self._parts(planned.object, path)
                found = parts.found if parts else self._source.fetch(planned.object, path)
                if self._settings.object_tags:
                    found = replace(found, tags=self._source.tags(planned.object))
                sidecars, sidecar_bytes = self._sidecars(planned)
        except Exception as error:  # noqa: BLE001  it is raised again where the object is decoded
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return Fetched(planned, error=error, seconds=time.perf_counter() - began)
        seconds = time.perf_counter() - began
        if parts is not None and parts.fetched.contain(0, planned.object.size_bytes):
            parts = None
        return Fetched(
            planned,
            path,
            found,
            sidecars,
            seconds=seconds,
            parts=parts,
            sidecar_bytes=sidecar_bytes,
        )

    def _parts(self, obj: MediaObject, path: Path) -> PartlyFetched | None:
        """The bytes that the decoder will read; all of them, where most are needed and where it
        cannot be said which. None where it does not pay to ask."""
        if not wants_parts(self._decode, obj.size_bytes):
            return None
        parts = self._source.open_parts(obj, path)
        if parts is None:
            return None
        index = read_index(parts.read, obj.size_bytes)
        needed = None if index is None else needed_bytes(index, obj.size_bytes, self._decode)
        if needed is None:
            parts.fetch_rest()
        else:
            parts.fetch(needed)
        return parts

    def _sidecars(self, planned: PlanRow) -> tuple[Sidecars, int]:
        """What they say, and how many bytes were fetched for it."""
        files, fetched_bytes = [], 0
        for sidecar in planned.sidecars:
            if sidecar.size_bytes > MAX_SIDECAR_BYTES:
                files.append((sidecar.key, b"\0"))  # reported as what it is: no text to read
                continue
            path = self._folder / f"sidecar-{next(self._numbers)}"
            try:
                self._source.fetch(sidecar, path)
                files.append((sidecar.key, path.read_bytes()))
                fetched_bytes += len(files[-1][1])
            finally:
                path.unlink(missing_ok=True)
        return read_sidecars(files), fetched_bytes


class _Room:
    """Bytes that may lie on the disk at once."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._taken = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self, size_bytes: int) -> bool:
        """Waits for so much, or for all of it where that is less. False when it is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed or not self._taken or self._taken + size_bytes <= self._size_bytes
                )
            )
            self._taken += size_bytes
            return not self._closed

    def give(self, size_bytes: int) -> None:
        with self._changed:
            self._taken -= size_bytes
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@contextmanager
def fetched_ahead(
    settings: SourceSettings, decode: DecodeSettings, rows: Iterator[PlanRow]
) -> Iterator[Iterator[Fetched]]:
    """The planned objects, fetched by several threads that begin at once; not in their order.

    An object's file is the taker's to delete. Raises what `rows` raises. May be shared by threads.
    """
    planned = Shared(rows)
    room = _Room(MAX_BYTES_AHEAD)
    if removed := remove_abandoned_scratch():
        logger.info("%d temporary folders of killed processes were removed.", removed)

    with scratch_folder() as folder:
        fetcher = Fetcher(settings, decode, folder)

        def fetches() -> Generator[Fetched, None, None]:
            for row in planned:
                if not room.take(row.object.size_bytes):
                    return
                yield fetcher.fetch(row)

        def taken(ready: Iterator[Fetched]) -> Iterator[Fetched]:
            for fetched in ready:
                room.give(fetched.planned.object.size_bytes)
                yield fetched

        threads = [fetches() for _ in range(FETCHES_AT_ONCE)]
        with ahead(*threads, most=MAX_OBJECTS_AHEAD) as ready:
            try:
                yield Shared(taken(ready))
            finally:
                room.close()
