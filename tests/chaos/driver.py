"""One run in this process alone, with a reader beside it; it may be killed or stopped at a point.

`main` is called by `tests.chaos.host`, in a fork.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.embed.encode import EncodeStage
from pipeline.index import writer
from pipeline.index.vector_index import VectorIndex
from pipeline.planning.named import NamedObjects
from pipeline.progress import ProgressReporter
from pipeline.run import event_run
from pipeline.run.whole_run import run_index
from pipeline.settings import load_settings
from pipeline.source.source import open_source
from pipeline.state.lease import LeaseHandle
from pipeline.state.store import open_store
from tests.chaos.points import Kind, arm, point_named
from tests.chaos.reading import reading


def main(
    folder: Path,
    point: str = "",
    hit: int = 0,
    action: str = "kill",
    scratch: str = "",
    *,
    events: bool = False,
) -> None:
    """`events`: an event run for the keys that `events.json` in the folder has."""
    tempfile.tempdir = scratch or None
    settings = load_settings(None, json.loads((folder / "settings.json").read_text()))
    if point:
        kind = Kind.BUCKET if settings.state.location.startswith("s3:") else Kind.FOLDER
        grpc = settings.index.url is not None and settings.index.prefer_grpc
        arm(point_named(point, kind, grpc=grpc), hit, folder / "passed", action)
    _note_embedded(folder / "embedded")
    if settings.index.url is None:
        # A server has a reader of its own; the embedded engine is open to this process alone.
        _read_beside(folder / "reads")
    if events:
        keys = json.loads((folder / "events.json").read_text())
        places = frozenset((settings.source.name, key) for key in keys)
        store = open_store(settings.state.location, settings.source)
        runs = event_run.EventRuns(settings, store, open_source(settings.source))
        runs.run(NamedObjects(places), ProgressReporter())
    else:
        run_index(settings)


def _read_beside(log: Path) -> None:
    """Poll the index from when the run has opened it until the run has ended."""
    original = writer.writing

    @contextmanager
    def watched(*arguments: Any, **named: Any) -> Iterator[tuple[LeaseHandle, VectorIndex]]:
        with original(*arguments, **named) as (lease, index), reading(index, log):
            yield lease, index

    writer.writing = watched
    event_run.writing = watched  # type: ignore[attr-defined]


def _note_embedded(file: Path) -> None:
    """Keep the numbers of the shards in the file of which the encoder has given something."""
    original = EncodeStage.table
    shards: set[int] = set()

    def table(stage: EncodeStage, decoded: pa.Table) -> pa.Table:
        encoded = original(stage, decoded)
        shards.update(encoded.column("shard").to_pylist())
        file.write_text(json.dumps(sorted(shards)))
        return encoded

    EncodeStage.table = table  # type: ignore[method-assign]
