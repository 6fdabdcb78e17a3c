"""How the program's own functions write a small file of each format, and how they read it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from qdrant_client import models as q

from pipeline import codec
from pipeline.index import embedded
from pipeline.index.embedded import EngineFolder
from pipeline.planning.diff import PlanSummary
from pipeline.planning.file import write_plan
from pipeline.rebuild import copy as rebuild_copy
from pipeline.rebuild.record import RebuildRecord, begin_record, read_records
from pipeline.records import Action, PlanRow, ShardReceipt
from pipeline.report.build import keep_report
from pipeline.report.read import read_report
from pipeline.report.record import RunReport
from pipeline.settings import load_settings
from pipeline.state import commit as commit_module
from pipeline.state import increments as increments_module
from pipeline.state import lease as lease_module
from pipeline.state.commit import commit_state
from pipeline.state.increments import About, commit_increment
from pipeline.state.lease import Lease
from pipeline.state.objects import CurrentState, StateRow, read_state, write_rows
from pipeline.state.receipts import commit_load, commit_receipt
from pipeline.state.segments import read_segments, read_spaces, write_segments
from pipeline.state.store import FolderStore
from tests.stored_records import (
    CURRENT_FACTS,
    FILM,
    INCREMENT,
    INCREMENT_ROWS,
    LEASE,
    LIVE_FILE,
    LOAD,
    PLAN_ROWS,
    REBUILD,
    REPORT,
    RUN,
    SEGMENT_ROWS,
    SPACES,
    STATE_FILE,
    STATE_ROWS,
    STEPS,
)


def _in_store(path: Path, name: str, folder: str) -> FolderStore:
    """A store in which the file has that name."""
    root = Path(folder) / "state"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(path.read_bytes())
    return FolderStore(root)


def read_as(name: str, read: Callable[[FolderStore], Any]) -> Callable[[Path], Any]:
    def reader(path: Path) -> Any:
        with TemporaryDirectory() as folder:
            return read(_in_store(path, name, folder))

    return reader


def write_state(folder: Path) -> Path:
    write_rows(folder / "objects.parquet", STATE_ROWS)
    return folder / "objects.parquet"


def read_state_file(store: FolderStore) -> list[StateRow]:
    return list(CurrentState(store=store, state_file=STATE_FILE).rows())


def write_current(folder: Path) -> Path:
    store = FolderStore(folder)
    named = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="0123abcd" * 4))
    facts = {n: v for n, v in CURRENT_FACTS.items() if n not in ("state_file", "totals")}
    with patch.object(commit_module, "uuid", named):
        commit_state(store, read_state(store), STATE_ROWS, **facts)
    return folder / "current.json"


def read_current(store: FolderStore) -> dict[str, Any]:
    state = read_state(store)
    return {name: getattr(state, name) for name in CURRENT_FACTS}


def write_increment(folder: Path) -> Path:
    write_current(folder)
    store = FolderStore(folder)
    named = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="0123abcd" * 4))
    with patch.object(increments_module, "uuid", named):
        commit_increment(
            read_state(store), INCREMENT_ROWS, sequence=9, run_id=INCREMENT.run_id,
            about=About("", "", "", ""), before_swap=lambda: None, on_new_whole=lambda: None,
        )  # fmt: skip
    return folder / "current.json"


def read_increments(store: FolderStore) -> dict[str, Any]:
    return {**read_current(store), "increments": read_state(store).increments}


def write_lease(folder: Path) -> Path:
    with ExitStack() as stack:
        for owner, name, value in (
            (lease_module, "_holder", lambda: LEASE.holder),
            (lease_module, "_process", lambda _: LEASE.process),
            (lease_module.time, "time", lambda: LEASE.expires_at - 60),
        ):
            stack.enter_context(patch.object(owner, name, value))
        lease_module.acquire(FolderStore(folder), LEASE.run_id, 60, after_token=6)
    return folder / lease_module.LEASE


def read_lease(store: FolderStore) -> Lease:
    found = lease_module.read_lease(store)
    assert found is not None
    return found


def write_plan_file(folder: Path) -> Path:
    summary = PlanSummary()
    for row in PLAN_ROWS:
        summary.add(row, None)
    unchanged = PlanRow(Action.UNCHANGED, FILM, "a", "g", "")
    write_plan(folder / "plan.parquet", [*PLAN_ROWS, unchanged], summary)
    return folder / "plan.parquet"


def write_segments_file(folder: Path) -> Path:
    facts = {"run": RUN.run_id}
    write_segments(folder / "segments.parquet", SEGMENT_ROWS, SPACES, facts)
    return folder / "segments.parquet"


def segments_as_read(path: Path) -> list[Any]:
    """The spaces, and of each row all but its times, which only its payload gives back."""
    found: list[Any] = [read_spaces(path)]
    for batch in read_segments(path):
        vectors: list[dict[str, list[float]]] = [{} for _ in batch.point_ids]
        for name, (rows, matrix) in batch.vectors.items():
            for row, vector in zip(rows.tolist(), matrix.tolist(), strict=True):
                vectors[row][name] = vector
        found += zip(
            batch.point_ids, batch.asset_ids, batch.generations, vectors, batch.payloads,
            strict=True,
        )  # fmt: skip
    return found


def segments_as_written() -> list[Any]:
    rows = [
        (
            row.point_id,
            row.asset_id,
            row.generation,
            {name: vector.tolist() for name, vector in row.vectors.items()},
            dict(row.payload),
        )
        for row in SEGMENT_ROWS
    ]
    return [SPACES, *rows]


def write_receipt(receipt: ShardReceipt) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        commit_receipt(FolderStore(folder), receipt)
        return folder / RUN.receipt(receipt.shard)

    return write


def write_load(folder: Path) -> Path:
    commit_load(FolderStore(folder), RUN, 0, codec.to_json(LOAD))
    return folder / RUN.load(0)


def write_report(folder: Path) -> Path:
    keep_report(FolderStore(folder), RUN, REPORT)
    return folder / RUN.report


def read_report_file(store: FolderStore) -> RunReport:
    given = {"source.bucket": "media", "state.location": store.location}
    return read_report(load_settings(None, given))


def write_report_without(later: dict[str, Any]) -> Callable[[Path], Path]:
    """As runs wrote it before reports had these fields."""

    def write(folder: Path) -> Path:
        whole = json.loads(write_report(folder).read_bytes())
        left = {name: value for name, value in whole.items() if name not in later}
        path = folder / "earlier.json"
        path.write_bytes(json.dumps(left, ensure_ascii=True, indent=1).encode())
        return path

    return write


def write_rebuild(record: RebuildRecord) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return folder / begin_record(FolderStore(folder), record).name

    return write


def read_rebuild(record: RebuildRecord) -> Callable[[Path], Any]:
    def read(store: FolderStore) -> RebuildRecord:
        [found] = read_records(store, record.alias, record.place)
        return found

    return read_as(record.name, read)


def write_rebuild_file(folder: Path) -> Path:
    rebuild_copy._keep_receipt(FolderStore(folder), REBUILD.file_receipt(LIVE_FILE), LIVE_FILE, 4)
    return folder / REBUILD.file_receipt(LIVE_FILE)


def write_journal(folder: Path) -> Path:
    kept = folder / "kept.json"
    with EngineFolder(folder).journaled("media-1", STEPS):
        kept.write_bytes((folder / embedded.JOURNAL).read_bytes())
    return kept


def read_journal(path: Path) -> list[Any]:
    """The steps in plain values: an id comes back as a UUID, which is not equal to its text."""
    begun = embedded._JOURNAL_ENTRY.validate_json(path.read_bytes())
    return [begun.collection, *plain_steps(begun.steps)]


def plain_steps(steps: Iterable[q.UpdateOperation]) -> list[dict[str, Any]]:
    return [step.model_dump(mode="json", exclude_unset=True) for step in steps]
