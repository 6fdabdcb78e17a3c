"""Makes the client's own engine safe, and quick, in a folder.

A request is many small writes there; a journal beside them makes them one: who opens the folder
after a kill ends what was begun. And each write is a transaction of SQLite, flushed to the disk for
itself. Here the file keeps a write-ahead log, which is flushed once, when the request has ended:
about five and then three times less time (docs/performance.md), and no less is safe.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.state.store import flush_path

JOURNAL = "begun.json"
COLLECTION_FILES = "collection/*/storage.sqlite"


class JournalEntry(BaseModel):
    """A request that was given to the embedded engine, and may not have ended."""

    collection: str
    steps: list[q.UpdateOperation]


_JOURNAL_ENTRY = TypeAdapter(JournalEntry)


class EngineFolder:
    """The folder of an embedded engine; its lock keeps it to one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = folder / JOURNAL

    def make_ready(self, client: QdrantClient) -> None:
        """After the engine was opened, or has a new collection; it is at rest."""
        for file in self._folder.glob(COLLECTION_FILES):
            _write_ahead(file)
        _flush_by_request(client)
        _in_single_precision(client)
        _written_as_arrays(client)
        self._end_interrupted(client)

    @contextmanager
    def journaled(self, collection: str, steps: Sequence[q.UpdateOperation]) -> Iterator[None]:
        """While the context is open a kill leaves the entry. An error leaves it, too: what came of
        the steps is not known then, and all of them may be done again. Flush before it closes."""
        # Not exclude_none: a payload's null is a value.
        entry = JournalEntry(collection=collection, steps=list(steps))
        data = _JOURNAL_ENTRY.dump_json(entry, exclude_unset=True)
        half = self._journal.with_suffix(".half")
        with half.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._journal)
        flush_path(self._folder)  # its name, too
        yield
        self._journal.unlink()

    def flush(self) -> None:
        """What was written so far outlives a loss of power when this returns."""
        for log in self._folder.glob(COLLECTION_FILES + "-wal"):
            flush_path(log)

    def _end_interrupted(self, client: QdrantClient) -> None:
        if not self._journal.is_file():
            return
        entry = _JOURNAL_ENTRY.validate_json(self._journal.read_bytes())
        # Its points or its collection are no longer there: nothing is left to be ended.
        with suppress(KeyError, ValueError):
            client.batch_update_points(entry.collection, entry.steps, wait=True)
        self.flush()
        self._journal.unlink()


def _write_ahead(file: Path) -> None:
    """The file itself remembers it. A file system that cannot have such a log (a network's) leaves
    it as it was."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma journal_mode = wal")


def _flush_by_request(client: QdrantClient) -> None:
    """Have the engine's own connections leave the flush of their logs to us.

    They are not a public part of the client: where another release keeps them elsewhere, each write
    is flushed as it comes, and only time is lost.
    """
    collections = getattr(getattr(client, "_client", None), "collections", {})
    for collection in collections.values():
        database = getattr(getattr(collection, "storage", None), "storage", None)
        # Without a log, a lost flush could tear the file itself.
        if isinstance(database, sqlite3.Connection) and _has_log(database):
            database.execute("pragma synchronous = normal")


def _in_single_precision(client: QdrantClient) -> None:
    """As vectors were written. The engine reads them from the disk as doubles, which take twice the
    memory, and a search twice the time. Where another release keeps them elsewhere, they stay so.
    """
    collections = getattr(getattr(client, "_client", None), "collections", {})
    for collection in collections.values():
        vectors = getattr(collection, "vectors", {})
        for name, matrix in vectors.items():
            if isinstance(matrix, np.ndarray) and matrix.dtype == np.float64:
                vectors[name] = matrix.astype(np.float32)


def _written_as_arrays(client: QdrantClient) -> None:
    """Have the engine write vectors as arrays, in single precision, where they come as lists of
    numbers: a folder is read three times sooner then, in half the memory. The engine reads
    both. Where another release keeps what writes elsewhere, lists are written."""
    collections = getattr(getattr(client, "_client", None), "collections", {})
    for collection in collections.values():
        storage: Any = getattr(collection, "storage", None)
        persist = getattr(storage, "persist", None)
        if persist is not None and not isinstance(persist, _ArrayWriter):
            storage.persist = _ArrayWriter(persist)


@dataclass(frozen=True, slots=True)
class _ArrayWriter:
    """Calls what the engine writes a point by."""

    persist: Callable[[q.PointStruct], None]

    def __call__(self, point: q.PointStruct) -> None:
        vectors = point.vector
        if isinstance(vectors, dict):
            packed = {name: _packed(vector) for name, vector in vectors.items()}
            point = point.model_copy(update={"vector": packed})
        self.persist(point)


def _packed(vector: Any) -> Any:
    plain = isinstance(vector, list) and bool(vector) and isinstance(vector[0], float)
    return np.array(vector, np.float32) if plain else vector


def _has_log(database: sqlite3.Connection) -> bool:
    database.execute("select 1 from points limit 1").fetchall()  # sees the file as it is now
    return bool(database.execute("pragma journal_mode").fetchone()[0] == "wal")
