"""What the client's own engine needs to be trusted, and to be quick, in a folder.

A request is many small writes there; a journal beside them makes them one: who opens the folder
after a kill ends what was begun. And each write is a transaction of SQLite, which costs a fifth of
the time where the file keeps a write-ahead log; it is flushed as before (docs/performance.md).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client import models as q

JOURNAL = "begun.json"
COLLECTION_FILES = "collection/*/storage.sqlite"


def write_ahead(folder: Path) -> None:
    """Have every collection's file keep a write-ahead log. The file itself remembers it. A file
    system that cannot have one (a network's) leaves it as it was.

    Only while the engine has the folder and is at rest.
    """
    for file in folder.glob(COLLECTION_FILES):
        with closing(sqlite3.connect(file)) as database:
            database.execute("pragma journal_mode = wal")


class Begun(BaseModel):
    """A request that was given to the embedded engine, and may not have ended."""

    collection: str
    steps: list[q.UpdateOperation]


_BEGUN = TypeAdapter(Begun)


class Journal:
    """One file in the engine's folder; the folder's own lock keeps it to one process."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / JOURNAL

    @contextmanager
    def noted(self, collection: str, steps: Sequence[q.UpdateOperation]) -> Iterator[None]:
        """While the context is open a kill leaves the note. An error leaves it, too: what came of
        the steps is not known then, and all of them may be done again."""
        # Not exclude_none: a payload's null is a value.
        begun = Begun(collection=collection, steps=list(steps))
        data = _BEGUN.dump_json(begun, exclude_unset=True)
        half = self._file.with_suffix(".half")
        with half.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._file)
        yield
        self._file.unlink()

    def end_what_was_begun(self, client: QdrantClient) -> None:
        if not self._file.is_file():
            return
        begun = _BEGUN.validate_json(self._file.read_bytes())
        # Its points or its collection are no longer there: nothing is left to be ended.
        with suppress(KeyError, ValueError):
            client.batch_update_points(begun.collection, begun.steps, wait=True)
        self._file.unlink()
