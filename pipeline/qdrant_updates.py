"""Changes of what readers see, as requests: a flip, a sweep, a removal.

Each touches only what runs up to its own sequence wrote, so that a writer which wakes up late
changes nothing that a later run has made. In the embedded engine a request is many small writes;
a journal beside it makes them one: who opens the folder after a kill ends what was begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client import models as q

JOURNAL = "begun.json"


class Begun(BaseModel):
    """A request that was given to the embedded engine, and may not have ended."""

    collection: str
    steps: list[q.UpdateOperation]


_BEGUN = TypeAdapter(Begun)


def flip_steps(
    anchors: Sequence[q.PointStruct],
    asset_ids: Sequence[str],
    live: Sequence[str],
    sequence: int,
) -> list[q.UpdateOperation]:
    """Write the assets' anchors, make the points `live` live and their other segments not."""
    hide = q.SetPayload(payload={"live": False}, filter=others(asset_ids, live, sequence))
    return [
        q.UpsertOperation(
            upsert=q.PointsList(
                points=list(anchors), update_filter=q.Filter(must=[_up_to(sequence)])
            )
        ),
        q.SetPayloadOperation(set_payload=q.SetPayload(payload={"live": True}, points=list(live))),
        q.SetPayloadOperation(set_payload=hide),
    ]


def deletion(selected: q.Filter) -> list[q.UpdateOperation]:
    return [q.DeleteOperation(delete=q.FilterSelector(filter=selected))]


def others(asset_ids: Sequence[str], keep: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments but for those to keep."""
    segment = q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))
    return q.Filter(
        must=[_of(asset_ids), segment, _up_to(sequence)],
        must_not=[q.HasIdCondition(has_id=list(keep))],
    )


def all_of(asset_ids: Sequence[str], sequence: int) -> q.Filter:
    """The assets' segments and anchors."""
    return q.Filter(must=[_of(asset_ids), _up_to(sequence)])


def _of(asset_ids: Sequence[str]) -> q.FieldCondition:
    return q.FieldCondition(key="asset_id", match=q.MatchAny(any=list(asset_ids)))


def _up_to(sequence: int) -> q.FieldCondition:
    return q.FieldCondition(key="sequence", range=q.Range(lte=sequence))


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
