"""Progress of the run that holds the lease, for who looks on from elsewhere: `progress.json`, and
`events-progress.json` of the event run that holds the other lease.

Small, and written over again and again without a condition: it is nothing that a run goes by. The
lease says whether its writer is alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline import codec
from pipeline.local_files import scratch_folder
from pipeline.state.store import Store

PROGRESS = "progress.json"
EVENTS_PROGRESS = "events-progress.json"


@dataclass(frozen=True, slots=True)
class StageDone:
    """What a stage has done since the run began; `busy_seconds` are summed over its workers."""

    objects: int
    windows: int
    media_seconds: float
    busy_seconds: float
    workers: int = 1


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """As it was at `written_at` (seconds since 1970). The rates are of the last minute, of what was
    written; `embedding_seconds` is the time since the encoder was there. `ended` is empty while the
    run goes on, then `whole`, or the code of the error that ended it."""

    run_id: str
    sequence: int
    started_at: str
    written_at: float
    phase: str
    total_objects: int = 0
    stages: Mapping[str, StageDone] = field(default_factory=dict)
    shards: Mapping[str, int] = field(default_factory=dict)
    objects_by_status: Mapping[str, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    embedding_seconds: float = 0.0
    objects_per_second: float = 0.0
    media_seconds_per_second: float = 0.0
    ended: str = ""


WHOLE = "whole"


def put_progress(store: Store, progress: StoredProgress, file: str = PROGRESS) -> None:
    """Write it over what is there. Raises as the store does."""
    with scratch_folder() as folder:
        path = folder / file
        path.write_bytes(codec.to_bytes(progress, sort_keys=True))
        store.put_file(file, path)


def read_progress(store: Store, file: str = PROGRESS) -> StoredProgress | None:
    """None before the first run, and where it is another version's: nothing goes by it."""
    found = store.read(file)
    if found is None:
        return None
    try:
        return codec.from_bytes(StoredProgress, found.data)
    except ValueError:
        return None
