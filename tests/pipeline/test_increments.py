"""Increments: rows of event runs beside the whole, merged by bucket and key; the next whole run
takes them in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import LeaseHeld
from pipeline.records import MediaType, Status
from pipeline.state import objects as state_module
from pipeline.state.commit import commit_state
from pipeline.state.increments import MAX_INCREMENTS, About, commit_increment
from pipeline.state.merge import newest_of
from pipeline.state.objects import INCREMENTS, CurrentState, StateRow, read_state
from pipeline.state.store import FolderStore, Store, open_store
from pipeline.state.table_file import place_ranges, prefix_range
from tests.support.s3_server import S3Server

ABOUT = About("media", "p/", "recipe", "demo")
KEYS = ["a", "a b", "a+b/c", "b", "é", "\ue000x", "\U00010000", "z"]


def row(
    key: str, sequence: int, status: Status = Status.INDEXED, bucket: str = "media"
) -> StateRow:
    live = status is Status.INDEXED
    return StateRow(
        key, f"a{bucket}/{key}", f"g{sequence}", "e", None, 5, status, MediaType.VIDEO,
        sequence if live else 0, 1000 if live else 0, (), sequence, "f" if live else None, "recipe",
        bucket=bucket,
    )  # fmt: skip


def whole(store: Store, rows: list[StateRow], sequence: int, **more: Any) -> CurrentState:
    previous = more.pop("previous", None) or read_state(store)
    return commit_state(
        store, previous, sorted(rows, key=lambda r: r.place), sequence=sequence,
        run_id=f"w{sequence}", bucket="media", prefix="p/", recipe="recipe", encoder="demo", **more,
    )  # fmt: skip


def increment(store: Store, rows: list[StateRow], sequence: int, **more: Any) -> CurrentState:
    previous = more.pop("previous", None) or read_state(store)
    wanted = {"before_swap": lambda: None, "on_new_whole": lambda: None, **more}
    return commit_increment(
        previous, rows[::-1], sequence=sequence, run_id=f"e{sequence}",
        about=ABOUT, **wanted,
    )  # fmt: skip


def check_totals(state: CurrentState) -> None:
    rows = list(state.rows())
    counted = Counter(f"status.{r.status}" for r in rows)
    counted |= Counter(objects=len(rows), segments=sum(r.segments for r in rows))
    counted |= Counter(decoded_ms=sum(r.decoded_ms for r in rows))
    assert {n: c for n, c in state.totals.items() if c} == {n: c for n, c in counted.items() if c}


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "state")
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store("s3://media/increments", server.settings())


def test_an_increment_is_part_of_the_state(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "ROWS_PER_BATCH", 2)  # several row groups
    base = whole(store, [row(key, 1) for key in KEYS], 1)
    assert base.increments == ()
    increment(store, [row("b", 2), row("c", 2), row("é", 2, Status.REMOVED)], 2)
    now = increment(store, [row("c", 3, Status.REJECTED), row("a", 3, Status.REMOVED)], 3)
    assert now == read_state(store)
    found = {r.key: (r.sequence, r.status) for r in now.rows()}
    assert not {"é", "a"} & found.keys()
    assert (found["b"], found["c"]) == ((2, Status.INDEXED), (3, Status.REJECTED))
    assert list(found) == sorted(found)
    assert (now.newest, now.in_increments(), now.base) == (3, {2, 3}, base.base)
    check_totals(now)
    asked = place_ranges(("media", key) for key in ("zz", "b", "é", "c"))
    assert [r.key for r in now.rows_in(asked)] == ["b", "c"]
    assert [r.key for r in now.rows_in([prefix_range("media", "a")])] == ["a b", "a+b/c"]
    assert list(now.rows_in([prefix_range("media")])) == list(now.rows())
    # The next whole run has them in its rows, and nothing beside it.
    after = whole(store, list(now.rows()), 4)
    assert (after.increments, list(after.rows())) == ((), list(now.rows()))
    check_totals(after)


def test_a_key_of_several_buckets_is_several_objects(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups of three, so that a bucket ends within one."""
    monkeypatch.setattr(state_module, "ROWS_PER_BATCH", 3)
    buckets = ["clips", "films", "films-2", "é"]
    whole(store, [row(key, 1, bucket=bucket) for bucket in buckets for key in KEYS], 1)
    changed = [row("b", 2, bucket="films"), row("b", 2, Status.REMOVED, "films-2")]
    now = increment(store, [*changed, row("a", 2, Status.REMOVED, "clips")], 2)
    check_totals(now)
    rows = list(now.rows())
    assert [r.place for r in rows] == sorted(r.place for r in rows)
    assert len(rows) == len(buckets) * len(KEYS) - 2
    assert {r.bucket: r.sequence for r in rows if r.key == "b"} == {"clips": 1, "films": 2, "é": 1}
    for bucket in [*buckets, "", "films-1", "z"]:
        part = [r for r in rows if r.bucket == bucket]
        assert list(now.rows_in([prefix_range(bucket)])) == part
        for key in KEYS:
            asked = place_ranges([(bucket, key)])
            assert list(now.rows_in(asked)) == [r for r in part if r.key == key]
    both = [prefix_range("clips", "a"), prefix_range("films", "z"), prefix_range("é", "a b")]
    wanted = [("clips", "a b"), ("clips", "a+b/c"), ("films", "z"), ("é", "a b")]
    assert [r.place for r in now.rows_in(both)] == wanted


def test_a_whole_that_names_no_bucket_is_of_the_one_of_current_json(tmp_path: Path) -> None:
    """As it was written before states knew several buckets."""
    store = FolderStore(tmp_path)
    base = whole(store, [row(key, 1) for key in KEYS], 1)
    assert base.state_file is not None
    file = tmp_path / base.state_file
    pq.write_table(pq.read_table(file).drop_columns("bucket").cast(state_module._SCHEMA_1), file)
    now = increment(store, [row("b", 2), row("a", 2, Status.REMOVED), row("b", 2, bucket="n")], 2)
    check_totals(now)
    assert [r.place for r in now.rows()] == [
        *(("media", key) for key in sorted(KEYS)[1:]),
        ("n", "b"),
    ]
    found = now.rows_in([prefix_range("media", "a"), *place_ranges([("media", "b"), ("n", "b")])])
    assert [(*r.place, r.sequence) for r in found] == [
        ("media", "a b", 1), ("media", "a+b/c", 1), ("media", "b", 2), ("n", "b", 2),
    ]  # fmt: skip


def test_the_first_rows_of_all_may_be_an_increment(store: Store) -> None:
    now = increment(store, [row("a", 1), row("gone", 1, Status.REMOVED)], 1)
    assert (now.sequence, now.state_file, now.bucket, now.encoder) == (0, None, "media", "demo")
    assert [r.key for r in read_state(store).rows()] == ["a"]
    check_totals(now)


def test_what_came_beside_a_whole_run_stays_beside_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    whole(store, [row("a", 1), row("b", 1)], 1)
    begun = increment(store, [row("b", 2)], 2)
    later: list[list[str]] = []

    def seen(rows: Any) -> None:
        later.append([r.key for r in rows])
        if len(later) == 1:  # between this look and the write
            increment(store, [row("d", 5)], 5)

    increment(store, [row("a", 4, Status.REMOVED)], 4)  # the run has the token 3
    mine = [row("a", 3), row("b", 2), row("c", 3)]
    now = whole(store, mine, 3, previous=begun, on_later=seen)
    assert later == [["a"], ["d"]]
    assert [i.sequence for i in now.increments] == [4, 5]
    assert {r.key: r.sequence for r in now.rows()} == {"b": 2, "c": 3, "d": 5}
    check_totals(now)


def test_an_event_run_is_told_of_a_new_whole(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    begun = whole(store, [row("a", 1)], 1)
    whole(store, [row("a", 2), row("b", 2)], 2)
    told: list[int] = []
    gone = [row("b", 3, Status.REMOVED)]
    now = increment(store, gone, 3, previous=begun, on_new_whole=lambda: told.append(1))
    assert (told, [r.key for r in now.rows()]) == ([1], ["a"])
    check_totals(now)


def test_who_comes_too_late_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    begun = whole(store, [row("a", 1)], 1)
    later = increment(store, [row("a", 5)], 5)
    with pytest.raises(LeaseHeld):
        increment(store, [row("a", 4)], 4)
    with pytest.raises(LeaseHeld):  # what the run did not begin with, and did not wait for
        whole(store, [row("a", 6)], 6, previous=begun)
    assert read_state(store) == later
    assert len(list(store.list("increments/"))) == 1
    # The same once more, as after a lost answer.
    assert increment(store, [row("a", 5)], 5) == later


def test_many_increments_become_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    whole(store, [row("k03", 1), row("x", 1)], 1)
    for sequence in range(2, 2 * MAX_INCREMENTS + 5):
        key = f"k{sequence % 5:02}"
        status = Status.REMOVED if sequence % 7 == 0 else Status.INDEXED
        now = increment(store, [row(key, sequence, status)], sequence)
        assert len(now.increments) <= MAX_INCREMENTS
        check_totals(now)
    assert now.in_increments() == set(range(2, 2 * MAX_INCREMENTS + 5))
    files = list(store.list(INCREMENTS))
    assert len(files) < 2 * MAX_INCREMENTS  # those in force, and those that were just before


def test_those_that_a_run_is_about_to_merge_are_left_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    whole(store, [], 1)
    for sequence in (2, 3):
        begun = increment(store, [row("a", sequence)], sequence)
    for sequence in range(5, 5 + 2 * MAX_INCREMENTS):  # beside a run with the token 4
        now = increment(store, [row("b", sequence)], sequence, fence=4)
    assert now.increments[:2] == begun.increments
    assert len(now.increments) <= MAX_INCREMENTS + 1
    after = whole(store, list(begun.rows()), 4, previous=begun)
    assert [r.sequence for r in after.rows()] == [3, 4 + 2 * MAX_INCREMENTS]


rows_by_key = st.dictionaries(
    st.sampled_from(KEYS), st.sampled_from([Status.INDEXED, Status.REMOVED, Status.REJECTED])
)


@given(st.lists(rows_by_key, min_size=1, max_size=6))
def test_merged_rows_are_those_of_a_dict(sides: list[dict[str, Status]]) -> None:
    wanted: dict[str, StateRow] = {}
    files = []
    for sequence, side in enumerate(sides, 1):
        rows = [row(key, sequence, status) for key, status in sorted(side.items())]
        files.append(rows)
        wanted |= {r.key: r for r in rows}
    assert list(newest_of(files, tombstones=True)) == [wanted[key] for key in sorted(wanted)]
    live = [wanted[k] for k in sorted(wanted) if wanted[k].status is not Status.REMOVED]
    assert list(newest_of(files)) == live


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_of_runs_gives_exact_totals(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Whole runs and event runs by their tokens, each of which knows what was there before it."""
    store = FolderStore(tmp_path_factory.mktemp("state"))
    wanted: dict[str, StateRow] = {}
    for sequence in range(1, data.draw(st.integers(2, 6))):
        side = data.draw(rows_by_key)
        rows = [row(key, sequence, status) for key, status in side.items()]
        if data.draw(st.booleans()):
            now = increment(store, rows, sequence)
            wanted |= {r.key: r for r in rows}
        else:
            live = [r for r in rows if r.status is not Status.REMOVED]
            kept = {r.key: r for r in read_state(store).rows()} | {r.key: r for r in live}
            now = whole(store, list(kept.values()), sequence)
            wanted = {k: replace(r) for k, r in kept.items()}
        check_totals(now)
        alive = [wanted[k] for k in sorted(wanted) if wanted[k].status is not Status.REMOVED]
        assert list(now.rows()) == alive
