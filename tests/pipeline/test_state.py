"""The state: rows come back exact, merging agrees with dicts, one run alone makes it current."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LeaseHeld, StateCorrupt
from pipeline.records import Failure, MediaType, ObjectOutcome, Status
from pipeline.state import objects as state_module
from pipeline.state.commit import commit_state
from pipeline.state.merge import merge_state
from pipeline.state.objects import CURRENT, StateRow, read_state
from pipeline.state.store import FolderStore, Store, open_store
from tests.support.s3_server import S3Server

NASTY = [
    "a b.jpg",
    "+%2B.mp4",
    "🐕.mp4",
    "new\nline",
    "/lead",
    "a/../b",
    "\ue000x",
    "\U00010000",
    "é",
    "é",
]


def row(key: str, generation: str = "g", **fields: Any) -> StateRow:
    made = StateRow(
        key, "a" + key, generation, "e", None, 5, Status.INDEXED, MediaType.VIDEO, 2, 4000,
        (), 1, "runs/x.parquet", "recipe",
    )  # fmt: skip
    return replace(made, **fields)


def commit(
    store: Store, rows: list[StateRow], sequence: int, run_id: str = "r", **fields: Any
) -> Any:
    previous = fields.pop("previous", None) or read_state(store)
    return commit_state(
        store, previous, rows, sequence=sequence, run_id=run_id, bucket="media", prefix="p/",
        recipe="recipe", encoder="demo",
    )  # fmt: skip


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "state")
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store("s3://media/state", server.settings())


def test_rows_come_back_as_they_were(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "ROWS_PER_BATCH", 3)
    failure = Failure("decode", "undecodable", False, "It is text.", "")
    rows = [row(key) for key in sorted(NASTY)]
    rows[1] = replace(rows[1], version_id="v7", sidecars=("s\n.srt", "t.txt"))
    rows[2] = replace(
        rows[2], status=Status.FAILED, media_type=None, failure=failure, data_file=None, segments=0
    )
    assert [r.key.encode() for r in rows] == sorted(r.key.encode() for r in rows)
    empty = read_state(store)
    assert (empty.sequence, list(empty.rows()), empty.version) == (0, [], None)
    written = commit(store, rows, 4)
    current = read_state(store)
    assert current == written
    assert (current.sequence, current.run_id, current.bucket, current.prefix) == (
        4,
        "r",
        "media",
        "p/",
    )
    assert list(current.rows()) == rows
    assert list(current.rows()) == rows
    assert current.totals == {
        "objects": len(rows),
        "segments": 2 * (len(rows) - 1),
        "decoded_ms": 4000 * len(rows),
        "status.indexed": len(rows) - 1,
        "status.failed": 1,
    }


def test_no_rows_is_a_state(store: Store) -> None:
    commit(store, [], 1)
    assert list(read_state(store).rows()) == []


def test_a_late_run_cannot_write(store: Store) -> None:
    late = read_state(store)
    commit(store, [row("a")], 2, "new")
    with pytest.raises(LeaseHeld, match="new"):
        commit(store, [row("b")], 1, "late", previous=late)
    with pytest.raises(LeaseHeld):
        commit(store, [row("b")], 3, "later", previous=late)
    with pytest.raises(LeaseHeld):
        commit(store, [row("b")], 2, "same sequence")
    assert [r.key for r in read_state(store).rows()] == ["a"]
    assert len(list(store.list("objects/"))) == 1


def test_the_last_moment_is_conditional_too(tmp_path: Path) -> None:
    """Another run writes between this one's look and its own write."""

    class Overtaken(FolderStore):
        def replace(self, name: str, data: bytes, expected_version: str) -> str:
            other = FolderStore(tmp_path)
            commit(other, [row("other")], 9, "other")
            return super().replace(name, data, expected_version)

    commit(FolderStore(tmp_path), [], 1)
    with pytest.raises(LeaseHeld, match="other"):
        commit(Overtaken(tmp_path), [row("mine")], 2, "mine")
    current = read_state(FolderStore(tmp_path))
    assert [r.key for r in current.rows()] == ["other"]


def test_a_commit_may_be_repeated(store: Store) -> None:
    previous = read_state(store)
    first = commit(store, [row("a")], 1, previous=previous)
    again = commit(store, [row("a")], 1, previous=previous)
    assert again == first


def test_the_state_before_stays_for_its_readers(store: Store) -> None:
    commit(store, [row("a")], 1)
    before = read_state(store)
    commit(store, [row("b")], 2)
    assert [r.key for r in before.rows()] == ["a"]
    commit(store, [row("c")], 3)
    assert len(list(store.list("objects/"))) == 2


def test_what_is_no_state_says_so(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    version = store.create(CURRENT, b"{")
    with pytest.raises(StateCorrupt, match=r"current\.json"):
        read_state(store)
    store.replace(CURRENT, b'{"sequence": 1, "state_file": "objects/x.parquet"}', version)
    with pytest.raises(StateCorrupt, match=r"objects/x\.parquet"):
        list(read_state(store).rows())
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/x.parquet").write_bytes(b"rubbish")
    with pytest.raises(StateCorrupt):
        list(read_state(store).rows())
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "objects/x.parquet")
    with pytest.raises(StateCorrupt, match="another version"):
        list(read_state(store).rows())


def test_a_row_of_an_outcome() -> None:
    outcome = ObjectOutcome(
        "k", "a", "g", "e", "v", 5, Status.INDEXED, MediaType.AUDIO, 2, {"audio": 2}, 4000, 4100,
        sidecars=("k.srt",),
    )  # fmt: skip
    made = StateRow.of(outcome, sequence=7, data_file="f", recipe="r")
    assert made == StateRow(
        "k",
        "a",
        "g",
        "e",
        "v",
        5,
        Status.INDEXED,
        MediaType.AUDIO,
        2,
        4100,
        ("k.srt",),
        7,
        "f",
        "r",
    )
    failure = Failure("s", "c", True, "m")
    bad = ObjectOutcome("k", "a", "g", "e", None, 5, Status.FAILED, failure=failure)
    made = StateRow.of(bad, sequence=7, data_file="f", recipe="r")
    assert (made.data_file, made.failure) == (None, failure)


KEYS = st.dictionaries(st.text(min_size=1, max_size=3), st.just("x"))


@given(KEYS, KEYS, st.sets(st.text(min_size=1, max_size=3)))
def test_merging_agrees_with_dicts(
    old: dict[str, str], new: dict[str, str], gone: set[str]
) -> None:
    merged = merge_state(
        (row(key, "old") for key in sorted(old)),
        (row(key, "new") for key in sorted(new)),
        [("", key) for key in sorted(gone)],
    )
    wanted = {**dict.fromkeys(old, "old"), **dict.fromkeys(new, "new")}
    left = [(key, wanted[key]) for key in sorted(wanted) if key not in gone]
    assert [(r.key, r.generation) for r in merged] == left


@pytest.mark.parametrize("which", range(3))
def test_merging_wants_sorted_keys(which: int) -> None:
    sides: list[list[Any]] = [[row("c")], [row("c")], [("", "c")]]
    sides[which] = [("", "b"), ("", "a")] if which == 2 else [row("b"), row("a")]
    with pytest.raises(ValueError, match="'a' comes after 'b'"):
        list(merge_state(*sides))


def test_merging_streams() -> None:
    """It takes no more of its inputs than it needs."""
    endless = (row(f"{n:09d}") for n in itertools.count())
    assert len(list(itertools.islice(merge_state(endless, []), 5))) == 5
