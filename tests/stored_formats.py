"""Small files of each format that outlives a run, as the program's own functions write them.

    python -m tests.stored_formats

writes those of tests/fixtures/formats/<format>/<version>/ that are not there yet, and never one
that is: tests/pipeline/test_stored_formats.py reads them with the code of every later day. When a
format changes, its version here is raised, the file and the records of the old one
(tests/stored_records.py) stay, and the command is called once. An earlier version is one that this
code reads, and no longer writes. tests/stored_files.py has the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline import codec
from pipeline.planning.file import read_plan
from pipeline.rebuild.record import RebuildRecord
from pipeline.records import ShardReceipt
from pipeline.state import lease as lease_module
from pipeline.state.receipts import read_loads, receipt_at
from tests.stored_files import (
    plain_steps,
    read_as,
    read_current,
    read_increments,
    read_journal,
    read_lease,
    read_rebuild,
    read_report_file,
    read_state_file,
    segments_as_read,
    segments_as_written,
    write_current,
    write_increment,
    write_journal,
    write_lease,
    write_load,
    write_plan_file,
    write_rebuild,
    write_rebuild_file,
    write_receipt,
    write_report,
    write_report_without,
    write_segments_file,
    write_state,
)
from tests.stored_records import (
    CURRENT_FACTS,
    EMPTY_RECEIPT,
    INCREMENT,
    LEASE,
    LOAD,
    NEW_REBUILD,
    PLAN_ROWS,
    PLAN_ROWS_1,
    REBUILD,
    RECEIPT,
    REPORT,
    RUN,
    SINCE_1,
    SINCE_2,
    SINCE_3,
    SINCE_4,
    STATE_FILE,
    STATE_ROWS,
    STATE_ROWS_1,
    STEPS,
)

FORMATS = Path(__file__).parent / "fixtures" / "formats"


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


def _receipt(file: str, receipt: ShardReceipt) -> list[StoredFormat]:
    name = RUN.receipt(receipt.shard)
    read = read_as(name, lambda store: receipt_at(store, name))
    outcomes = tuple(replace(outcome, bucket="") for outcome in receipt.outcomes)
    older = replace(receipt, outcomes=outcomes)
    return [
        StoredFormat("receipt", 2, file, receipt, write_receipt(receipt), read),
        StoredFormat("receipt", 1, file, older, _no_longer_written, read),
    ]


def _no_longer_written(folder: Path) -> Path:
    raise AssertionError(f"nothing writes this version any more into {folder}")


def _rebuild(file: str, record: RebuildRecord) -> StoredFormat:
    return StoredFormat("rebuild", 1, file, record, write_rebuild(record), read_rebuild(record))


STORED: tuple[StoredFormat, ...] = (
    StoredFormat(
        "state", 2, "objects.parquet", STATE_ROWS, write_state,
        read_as(STATE_FILE, read_state_file),
    ),
    StoredFormat(
        "state", 1, "objects.parquet", STATE_ROWS_1, _no_longer_written,
        read_as(STATE_FILE, read_state_file),
    ),
    StoredFormat(
        "current", 1, "current.json", CURRENT_FACTS, write_current,
        read_as("current.json", read_current),
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
        write_increment, read_as("current.json", read_increments),
    ),
    StoredFormat(
        "lease", 1, "lease.json", LEASE, write_lease, read_as(lease_module.LEASE, read_lease)
    ),
    StoredFormat(
        "plan", 2, "plan.parquet", PLAN_ROWS, write_plan_file, lambda path: list(read_plan(path))
    ),
    StoredFormat(
        "plan", 1, "plan.parquet", PLAN_ROWS_1, _no_longer_written,
        lambda path: list(read_plan(path)),
    ),
    StoredFormat(
        "segments", 1, "segments.parquet", segments_as_written(), write_segments_file,
        segments_as_read,
    ),
    *_receipt("receipt.json", RECEIPT),
    *_receipt("nothing.json", EMPTY_RECEIPT),
    StoredFormat(
        "load", 1, "load.json", {0: codec.to_json(LOAD)}, write_load,
        read_as(RUN.load(0), lambda store: read_loads(store, RUN)),
    ),
    StoredFormat(
        "report", 4, "report.json", REPORT, write_report, read_as(RUN.report, read_report_file)
    ),
    *(
        StoredFormat(
            "report", version, "report.json", replace(REPORT, **later),
            write_report_without(later), read_as(RUN.report, read_report_file),
        )
        for version, later in ((3, SINCE_4), (2, SINCE_3), (1, SINCE_2), (0, SINCE_1))
    ),
    _rebuild("rebuild.json", REBUILD),
    _rebuild("begun.json", NEW_REBUILD),
    # Nobody reads what is in it: that it is there says enough.
    StoredFormat(
        "rebuild_file", 1, "file.json", None, write_rebuild_file, lambda _: None
    ),
    StoredFormat(
        "journal", 1, "begun.json", ["media-1", *plain_steps(STEPS)], write_journal, read_journal
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
