"""Small files of each format that outlives a run, as the program's own functions write them.

    python -m tests.stored_formats

writes those of tests/fixtures/formats/<format>/<version>/ that are not there yet, and never one
that is: tests/pipeline/test_stored_formats.py reads them with the code of every later day. When a
format changes, its version here is raised, the file and the records of the old one stay, and the
command is called once. An earlier version is one that this code reads, and no longer writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from qdrant_client import models as q

from encoders.modality import Modality
from encoders.precision import TowerPrecision
from pipeline import codec
from pipeline.estimate.records import Estimate, Range
from pipeline.index import embedded
from pipeline.index.embedded import EngineFolder
from pipeline.index.load import LoadReceipt
from pipeline.planning.diff import PlanSummary
from pipeline.planning.file import read_plan, write_plan
from pipeline.rebuild import copy as rebuild_copy
from pipeline.rebuild.live_set import LiveFile
from pipeline.rebuild.record import Phase, RebuildRecord, begin_record, read_records
from pipeline.records import (
    Action,
    Failure,
    MediaObject,
    MediaType,
    ObjectOutcome,
    PlanRow,
    Segment,
    SegmentRow,
    ShardReceipt,
    Status,
    VectorSpace,
)
from pipeline.report.build import keep_report
from pipeline.report.read import read_report
from pipeline.report.record import FailureRow, RunReport, StageTime
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import Looking, Proposal, ServedRecall, VectorRecall
from pipeline.settings import load_settings
from pipeline.state import commit as commit_module
from pipeline.state import increments as increments_module
from pipeline.state import lease as lease_module
from pipeline.state.commit import commit_state
from pipeline.state.increments import About, commit_increment
from pipeline.state.lease import Lease
from pipeline.state.objects import CurrentState, Increment, StateRow, read_state, write_rows
from pipeline.state.receipts import RunFolder, commit_load, commit_receipt, read_loads, receipt_at
from pipeline.state.segments import read_segments, read_spaces, write_segments
from pipeline.state.store import FolderStore

FORMATS = Path(__file__).parent / "fixtures" / "formats"

_RUN = RunFolder(7, "20260102T030405-abcdef")
_FAILURE = Failure(
    "decode", "undecodable", False, 'A "list"\nof\tMünzen 🪙, no film.', "Replace it."
)
_STATE_FILE = f"objects/000007-{_RUN.run_id}-0123abcd.parquet"
_SHARD_FILE = f"{_RUN.root}/shards/000000-0123456789ab.parquet"

OUTCOMES = (
    ObjectOutcome(
        "films/Münzen 🪙.mp4", "a1", "g1", "e1", None, 12_345_678_901, Status.PARTIAL,
        MediaType.VIDEO, 3, {"vision": 3, "audio": 2}, 6_500, 6_000,
        Failure("decode", "partial", False, "It breaks off.", "See docs/media.md."),
        ("films/Münzen 🪙.srt", "films/Münzen 🪙.txt"), {"decode": 0.0479, "encode": 1e-05},
    ),
    ObjectOutcome(
        "list\n.mp4", "a2", "g2", "e2", "v7", 0, Status.REJECTED, failure=_FAILURE
    ),
    ObjectOutcome(
        "owl.ogg", "a3", "g3", "e3", "null", 5, Status.INDEXED, MediaType.AUDIO, 1, {"audio": 1},
        1_226, 1_227,
    ),
    ObjectOutcome("photo.jpg", "a4", "g4", "e4", None, 7, Status.ARCHIVED),
)  # fmt: skip
# Since receipts and states know several buckets; before, none was named.
OUTCOMES_2 = tuple(replace(outcome, bucket="media") for outcome in OUTCOMES)
RECEIPT = ShardReceipt(_RUN.run_id, 7, 0, _SHARD_FILE, "ab" * 32, 4, OUTCOMES_2)
EMPTY_RECEIPT = ShardReceipt(_RUN.run_id, 7, 1, None, None, 0, OUTCOMES_2[1:2])
STATE_ROWS = [
    StateRow.of(outcome, sequence=7, data_file=_SHARD_FILE, recipe="r" * 8)
    for outcome in OUTCOMES_2
]
STATE_ROWS_1 = [replace(row, bucket="") for row in STATE_ROWS]
CURRENT_FACTS: dict[str, Any] = {
    "sequence": 7,
    "run_id": _RUN.run_id,
    "bucket": "Münzen",
    "prefix": "films/",
    "recipe": "r" * 8,
    "encoder": "sensedex-mini",
    "state_file": _STATE_FILE,
    "totals": {
        "objects": 4,
        "segments": 4,
        "decoded_ms": 7_227,
        "status.partial": 1,
        "status.rejected": 1,
        "status.indexed": 1,
        "status.archived": 1,
    },
}
INCREMENT = Increment(
    9, "20260102T030406-fedcba", "increments/000009-20260102T030406-fedcba-0123abcd.parquet", (9,)
)
INCREMENT_ROWS = [replace(STATE_ROWS[2], status=Status.REMOVED, segments=0, sequence=9)]
LEASE = Lease(7, _RUN.run_id, "maker:42", "boot/pid:[1]/99", 1_767_323_045.25)
_FILM = MediaObject(
    "media", "films/Münzen 🪙.mp4", "e1", 12_345_678_901, "2026-01-02T03:04:05+00:00", "GLACIER_IR"
)
_CAPTION = MediaObject("media", "films/Münzen 🪙.txt", "e5", 3, "2026-01-02T03:04:06+00:00")
_SUBTITLES = MediaObject(
    "media", "films/Münzen 🪙.srt", "e6", 0, "2026-01-02T03:04:07+00:00", version_id="v9"
)
PLAN_ROWS_1 = [
    PlanRow(Action.CHANGED, _FILM, "a1", "g1", "etag", (_SUBTITLES, _CAPTION), "g0", 0),
    PlanRow(
        Action.GONE, MediaObject("media", "gone\n.jpg", "", 0, ""), "a2", "", "not listed",
        previous_generation="g9",
    ),
    PlanRow(Action.NEW, MediaObject("/a folder", "x.jpg", "e", 1, "", version_id="v"), "a3", "g3",
            "new", shard=12),
]  # fmt: skip
# Since objects may have what a manifest says of them.
PLAN_ROWS = [
    replace(PLAN_ROWS_1[0], object=replace(_FILM, metadata='{"jahr": 2026, "Ort": "Zürich"}')),
    *PLAN_ROWS_1[1:],
]
SPACES = (
    VectorSpace("vision", Modality.VISION, 4, "sensedex-mini", "f1"),
    VectorSpace("sound of it", Modality.AUDIO, 2, "Münzen", "f2"),
)
SEGMENT_ROWS = [
    SegmentRow(
        f"p{n}", f"a{n // 2}", "g1", Segment(n, 2_000 * n, 2_000 * n + 2_000),
        {"vision": np.array([0.5, -0.5, 0.5, n], np.float32)}
        | ({"sound of it": np.array([0.6, 0.8], np.float32)} if n != 1 else {}),
        {"key": "films/Münzen 🪙\n.mp4", "text": None, "tags": ["a", "b"], "fps": 29.97, "n": n},
    )
    for n in range(3)
]  # fmt: skip
LOAD = LoadReceipt(4, 2, 1, {"upsert": 0.0123, "count": 0.0, "flip": 0.004, "retire": 1.5})
REPORT = RunReport(
    run_id=_RUN.run_id,
    sequence=7,
    bucket="Münzen",
    prefix="films/",
    collection="media",
    encoder="sensedex-mini",
    meaningful=True,
    started_at="2026-01-02T03:04:05+00:00",
    wall_seconds=1.216,
    objects_by_status={"partial": 1, "rejected": 1, "indexed": 1, "archived": 1},
    objects_by_action={"changed": 1, "gone": 1, "new": 1},
    segments_by_modality={"vision": 3, "audio": 3},
    segments=4,
    media_seconds=7.227,
    bytes_fetched=12_345_678_901,
    points_in_index=11,
    failures=(
        FailureRow("list\n.mp4", "rejected", "decode", "undecodable", False, "No film.", "Look."),
    ),
    stages=(StageTime("decode", 0.1074, 2, "windows", 1.227), StageTime("load", 0.0, 0, "windows")),
    seconds_by_phase={"list and plan": 0.099, "sweep": 0.0},
    recovered_objects=1,
    search=(SearchRecall("asset", 10, 3, 4, 0.3006, 0.9544),),
    segments_known=12,
    engine="loop",
    precisions=(
        TowerPrecision("sensedex-mini", Modality.VISION, "fp32", "fp32"),
        TowerPrecision("sensedex-mini", Modality.AUDIO, "int8", "fp32", 0.6012, "cpu"),
    ),
    recall=ServedRecall(
        looking=Looking(None, 2.0),
        server_ef=100,
        quantization="binary",
        vectors=(VectorRecall("vision", 50, 0.953), VectorRecall("sound of it", 12, 1.0)),
        proposal=Proposal(Looking(200, 4.0), {"vision": 0.9875}, reaches=True, smallest=True),
        building=True,
        seed=7,
        seconds=1.25,
    ),
    workers_by_stage={"fetch": 4, "decode": 2, "encode": 1},
    estimate=Estimate(
        "run r0", 3, 12_345, 4, Range(0.1, 0.2, 0.5), Range(3.0, 4.0, 9.5), Range(0.25, 0.5, 1.0),
        Range(0.5, 1.0, 2.0), Range(0.0, 0.0, 0.0), Range(1, 2, 3), Range(0.1, 0.2, 0.4), "EUR",
    ),
    money=0.25,
)  # fmt: skip
# What reports have had only since their fourth version, their third, their second and their first.
SINCE_4: dict[str, Any] = {"estimate": None, "money": None}
SINCE_3: dict[str, Any] = {"workers_by_stage": {}, **SINCE_4}
SINCE_2: dict[str, Any] = {"recall": None, **SINCE_3}
SINCE_1: dict[str, Any] = {
    "search": (),
    "segments_known": 0,
    "engine": "",
    "precisions": (),
    **SINCE_2,
}
REBUILD = RebuildRecord(
    1, "media", "http://127.0.0.1:6333", "media-2",
    {"quantization": "none", "on_disk": False, "m": 16, "leave_out": ["text"],
     "vectors": {"vision": [4, "f1"]}, "shards": None},
    "2026-01-02T03:04:05+00:00", Phase.SHOWN, "media-1", 7, False, 0.9875,
)  # fmt: skip
NEW_REBUILD = RebuildRecord(1, "media", "Münzen", "media-3", {}, "2026-01-02T03:04:05+00:00")
_LIVE_FILE = LiveFile(_SHARD_FILE, {"a1": "g1", "a3": "g3"})
STEPS: list[q.UpdateOperation] = [
    q.UpsertOperation(
        upsert=q.PointsList(
            points=[
                q.PointStruct(
                    id="00000000-0000-0000-0000-000000000001",
                    vector={"vision": [0.5, -0.25]},
                    payload={"key": "Münzen 🪙", "text": None, "live": False},
                )
            ]
        )
    ),
    q.SetPayloadOperation(
        set_payload=q.SetPayload(
            payload={"live": True},
            filter=q.Filter(
                must=[q.FieldCondition(key="asset_id", match=q.MatchValue(value="a1"))]
            ),
        )
    ),
    q.DeleteOperation(
        delete=q.PointIdsList(points=["00000000-0000-0000-0000-000000000002"]),
    ),
]


@dataclass(frozen=True)
class StoredFormat:
    """One version of a format. `write` puts a file into a folder and says which; `read` gives back
    from such a file what `records` are."""

    name: str
    version: int
    file: str
    records: Any
    write: Callable[[Path], Path]
    read: Callable[[Path], Any]

    @property
    def path(self) -> Path:
        return FORMATS / self.name / str(self.version) / self.file

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.path.stem}"


def _in_store(path: Path, name: str, folder: str) -> FolderStore:
    """A store in which the file has that name."""
    root = Path(folder) / "state"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(path.read_bytes())
    return FolderStore(root)


def _read_as(name: str, read: Callable[[FolderStore], Any]) -> Callable[[Path], Any]:
    def reader(path: Path) -> Any:
        with TemporaryDirectory() as folder:
            return read(_in_store(path, name, folder))

    return reader


def _write_state(folder: Path) -> Path:
    write_rows(folder / "objects.parquet", STATE_ROWS)
    return folder / "objects.parquet"


def _read_state_file(store: FolderStore) -> list[StateRow]:
    return list(CurrentState(store=store, state_file=_STATE_FILE).rows())


def _write_current(folder: Path) -> Path:
    store = FolderStore(folder)
    named = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="0123abcd" * 4))
    facts = {n: v for n, v in CURRENT_FACTS.items() if n not in ("state_file", "totals")}
    with patch.object(commit_module, "uuid", named):
        commit_state(store, read_state(store), STATE_ROWS, **facts)
    return folder / "current.json"


def _read_current(store: FolderStore) -> dict[str, Any]:
    state = read_state(store)
    return {name: getattr(state, name) for name in CURRENT_FACTS}


def _write_increment(folder: Path) -> Path:
    _write_current(folder)
    store = FolderStore(folder)
    named = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="0123abcd" * 4))
    with patch.object(increments_module, "uuid", named):
        commit_increment(
            read_state(store), INCREMENT_ROWS, sequence=9, run_id=INCREMENT.run_id,
            about=About("", "", "", ""), before_swap=lambda: None, on_new_whole=lambda: None,
        )  # fmt: skip
    return folder / "current.json"


def _read_increments(store: FolderStore) -> dict[str, Any]:
    return {**_read_current(store), "increments": read_state(store).increments}


def _write_lease(folder: Path) -> Path:
    with ExitStack() as stack:
        for owner, name, value in (
            (lease_module, "_holder", lambda: LEASE.holder),
            (lease_module, "_process", lambda _: LEASE.process),
            (lease_module.time, "time", lambda: LEASE.expires_at - 60),
        ):
            stack.enter_context(patch.object(owner, name, value))
        lease_module.acquire(FolderStore(folder), LEASE.run_id, 60, after_token=6)
    return folder / lease_module.LEASE


def _read_lease(store: FolderStore) -> Lease:
    found = lease_module.read_lease(store)
    assert found is not None
    return found


def _write_plan(folder: Path) -> Path:
    summary = PlanSummary()
    for row in PLAN_ROWS:
        summary.add(row, None)
    unchanged = PlanRow(Action.UNCHANGED, _FILM, "a", "g", "")
    write_plan(folder / "plan.parquet", [*PLAN_ROWS, unchanged], summary)
    return folder / "plan.parquet"


def _write_segments(folder: Path) -> Path:
    facts = {"run": _RUN.run_id}
    write_segments(folder / "segments.parquet", SEGMENT_ROWS, SPACES, facts)
    return folder / "segments.parquet"


def _segments_as_read(path: Path) -> list[Any]:
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


def _segments_as_written() -> list[Any]:
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


def _write_receipt(receipt: ShardReceipt) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        commit_receipt(FolderStore(folder), receipt)
        return folder / _RUN.receipt(receipt.shard)

    return write


def _write_load(folder: Path) -> Path:
    commit_load(FolderStore(folder), _RUN, 0, codec.to_json(LOAD))
    return folder / _RUN.load(0)


def _write_report(folder: Path) -> Path:
    keep_report(FolderStore(folder), _RUN, REPORT)
    return folder / _RUN.report


def _read_report(store: FolderStore) -> RunReport:
    given = {"source.bucket": "media", "state.location": store.location}
    return read_report(load_settings(None, given))


def _write_report_without(later: dict[str, Any]) -> Callable[[Path], Path]:
    """As runs wrote it before reports had these fields."""

    def write(folder: Path) -> Path:
        whole = json.loads(_write_report(folder).read_bytes())
        left = {name: value for name, value in whole.items() if name not in later}
        path = folder / "earlier.json"
        path.write_bytes(json.dumps(left, ensure_ascii=True, indent=1).encode())
        return path

    return write


def _write_rebuild(record: RebuildRecord) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return folder / begin_record(FolderStore(folder), record).name

    return write


def _read_rebuild(record: RebuildRecord) -> Callable[[Path], Any]:
    def read(store: FolderStore) -> RebuildRecord:
        [found] = read_records(store, record.alias, record.place)
        return found

    return _read_as(record.name, read)


def _write_rebuild_file(folder: Path) -> Path:
    rebuild_copy._keep_receipt(FolderStore(folder), REBUILD.file_receipt(_LIVE_FILE), _LIVE_FILE, 4)
    return folder / REBUILD.file_receipt(_LIVE_FILE)


def _write_journal(folder: Path) -> Path:
    kept = folder / "kept.json"
    with EngineFolder(folder).journaled("media-1", STEPS):
        kept.write_bytes((folder / embedded.JOURNAL).read_bytes())
    return kept


def _read_journal(path: Path) -> list[Any]:
    """The steps in plain values: an id comes back as a UUID, which is not equal to its text."""
    begun = embedded._JOURNAL_ENTRY.validate_json(path.read_bytes())
    return [begun.collection, *_plain(begun.steps)]


def _plain(steps: Iterable[q.UpdateOperation]) -> list[dict[str, Any]]:
    return [step.model_dump(mode="json", exclude_unset=True) for step in steps]


def _receipt(file: str, receipt: ShardReceipt) -> list[StoredFormat]:
    name = _RUN.receipt(receipt.shard)
    read = _read_as(name, lambda store: receipt_at(store, name))
    outcomes = tuple(replace(outcome, bucket="") for outcome in receipt.outcomes)
    older = replace(receipt, outcomes=outcomes)
    return [
        StoredFormat("receipt", 2, file, receipt, _write_receipt(receipt), read),
        StoredFormat("receipt", 1, file, older, _no_longer_written, read),
    ]


def _no_longer_written(folder: Path) -> Path:
    raise AssertionError(f"nothing writes this version any more into {folder}")


def _rebuild(file: str, record: RebuildRecord) -> StoredFormat:
    return StoredFormat("rebuild", 1, file, record, _write_rebuild(record), _read_rebuild(record))


STORED: tuple[StoredFormat, ...] = (
    StoredFormat(
        "state", 2, "objects.parquet", STATE_ROWS, _write_state,
        _read_as(_STATE_FILE, _read_state_file),
    ),
    StoredFormat(
        "state", 1, "objects.parquet", STATE_ROWS_1, _no_longer_written,
        _read_as(_STATE_FILE, _read_state_file),
    ),
    StoredFormat(
        "current", 1, "current.json", CURRENT_FACTS, _write_current,
        _read_as("current.json", _read_current),
    ),
    StoredFormat(
        "current", 2, "current.json",
        CURRENT_FACTS | {
            "totals": {
                "objects": 3, "segments": 3, "decoded_ms": 6_000, "status.partial": 1,
                "status.rejected": 1, "status.archived": 1,
            },
            "increments": (INCREMENT,),
        },
        _write_increment, _read_as("current.json", _read_increments),
    ),
    StoredFormat(
        "lease", 1, "lease.json", LEASE, _write_lease, _read_as(lease_module.LEASE, _read_lease)
    ),
    StoredFormat(
        "plan", 2, "plan.parquet", PLAN_ROWS, _write_plan, lambda path: list(read_plan(path))
    ),
    StoredFormat(
        "plan", 1, "plan.parquet", PLAN_ROWS_1, _no_longer_written,
        lambda path: list(read_plan(path)),
    ),
    StoredFormat(
        "segments", 1, "segments.parquet", _segments_as_written(), _write_segments,
        _segments_as_read,
    ),
    *_receipt("receipt.json", RECEIPT),
    *_receipt("nothing.json", EMPTY_RECEIPT),
    StoredFormat(
        "load", 1, "load.json", {0: codec.to_json(LOAD)}, _write_load,
        _read_as(_RUN.load(0), lambda store: read_loads(store, _RUN)),
    ),
    StoredFormat(
        "report", 4, "report.json", REPORT, _write_report, _read_as(_RUN.report, _read_report)
    ),
    *(
        StoredFormat(
            "report", version, "report.json", replace(REPORT, **later),
            _write_report_without(later), _read_as(_RUN.report, _read_report),
        )
        for version, later in ((3, SINCE_4), (2, SINCE_3), (1, SINCE_2), (0, SINCE_1))
    ),
    _rebuild("rebuild.json", REBUILD),
    _rebuild("begun.json", NEW_REBUILD),
    # Nobody reads what is in it: that it is there says enough.
    StoredFormat(
        "rebuild_file", 1, "file.json", None, _write_rebuild_file, lambda _: None
    ),
    StoredFormat(
        "journal", 1, "begun.json", ["media-1", *_plain(STEPS)], _write_journal, _read_journal
    ),
)  # fmt: skip


def write_missing() -> None:
    for stored in STORED:
        if not stored.path.exists():
            with TemporaryDirectory() as folder:
                data = stored.write(Path(folder)).read_bytes()
            stored.path.parent.mkdir(parents=True, exist_ok=True)
            stored.path.write_bytes(data)
            print(f"{stored.path.relative_to(FORMATS)}: {len(data)} bytes")


if __name__ == "__main__":
    write_missing()
