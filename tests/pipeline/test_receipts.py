"""What a run leaves behind is found again, in the order in which it happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import StateCorrupt
from pipeline.records import Failure, MediaType, ObjectOutcome, ShardReceipt, Status
from pipeline.state.receipts import (
    RunFolder,
    commit_load,
    commit_receipt,
    open_receipts,
    put_shard_data,
    read_loads,
    read_receipts,
)
from pipeline.state.store import FolderStore, Store, open_store
from tests.support.s3_server import S3Server


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "state")
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store("s3://media/state", server.settings())


def receipt(
    sequence: int, shard: int, *, data_file: str | None = "d", run: str = "r"
) -> ShardReceipt:
    good = ObjectOutcome(
        "a/🐕\n.mp4", "a1", "g1", "e1", None, 5, Status.INDEXED, MediaType.VIDEO, 2, {"vision": 2}
    )
    failure = Failure("decode", "undecodable", False, "It is text.", "Replace it.")
    bad = ObjectOutcome("b.mp4", "a2", "g2", "e2", "v", 7, Status.REJECTED, failure=failure)
    return ShardReceipt(f"{run}{sequence}", sequence, shard, data_file, "abc", 2, (good, bad))


def test_the_first_receipt_wins(store: Store) -> None:
    first = receipt(3, 0, data_file="one")
    assert commit_receipt(store, first) == first
    assert commit_receipt(store, receipt(3, 0, data_file="two")) == first
    assert list(read_receipts(store, RunFolder(3, "r3"))) == [first]


def test_open_receipts_are_those_of_later_runs(store: Store) -> None:
    for sequence in (2, 9, 10, 100):
        run = RunFolder(sequence, f"r{sequence}")
        store.create(run.plan, b"")
        commit_load(store, run, 0, {"points": 1})
        for shard in (1, 0):
            commit_receipt(store, receipt(sequence, shard))
    found = [(r.sequence, r.shard) for r in open_receipts(store, 9)]
    assert found == [(10, 0), (10, 1), (100, 0), (100, 1)]
    assert len(list(open_receipts(store, 0))) == 8
    assert list(open_receipts(store, 100)) == []


def test_loads_are_kept_by_shard(store: Store) -> None:
    run = RunFolder(1, "r")
    assert read_loads(store, run) == {}
    commit_load(store, run, 7, {"points": 3})
    commit_load(store, run, 7, {"points": 3})
    commit_load(store, run, 0, {"points": 1})
    assert read_loads(store, run) == {0: {"points": 1}, 7: {"points": 3}}


def test_shard_data_gets_a_fresh_name(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"rows")
    run = RunFolder(1, "r")
    names = {put_shard_data(store, run, 4, tmp_path / "x") for _ in range(2)}
    assert len(names) == 2
    for name in names:
        assert name.startswith("runs/00000001-r/shards/000004-")
        with store.local_copy(name) as path:
            assert path.read_bytes() == b"rows"


def test_a_receipt_that_cannot_be_read(store: Store) -> None:
    store.create(RunFolder(1, "r").receipt(0), b'{"run_id": "r"}')
    with pytest.raises(StateCorrupt, match=r"receipts/000000\.json"):
        list(open_receipts(store, 0))


@pytest.mark.parametrize(("sequence", "run_id"), [(0, "r"), (1, ""), (1, "a/b")])
def test_a_run_has_a_sequence_and_a_name(sequence: int, run_id: str) -> None:
    with pytest.raises(ValueError, match="no such run"):
        RunFolder(sequence, run_id)
