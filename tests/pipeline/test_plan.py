"""Planning: the streaming join beside an oracle of dicts, reasons, shards, refusals, the file."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PlanRefused, StateCorrupt
from pipeline.ids import Recipe, asset_id, generation
from pipeline.planning import file as plan_file
from pipeline.planning.diff import (
    TO_EMBED,
    PlanSummary,
    RetryPolicy,
    cut_into_shards,
    plan_rows,
    verdict_without_get,
)
from pipeline.planning.file import plan_table, read_plan, rows_of_table, write_plan
from pipeline.planning.plan import check_removals
from pipeline.records import Action, Failure, MediaObject, PlanRow, Status
from pipeline.settings import SourceSettings
from pipeline.source.select import SelectedObject
from pipeline.state.objects import StateRow
from tests.bench import planning

RECIPE = Recipe(("vision:1",), "window/2000", "midpoints/2")
OTHER = Recipe(("vision:2",), "window/2000", "midpoints/2")
LOST = Failure("fetch", "store_unavailable", True, "No answer.")
BROKEN = Failure("decode", "undecodable", False, "It is text.")


def obj(key: str, **fields: Any) -> MediaObject:
    return replace(MediaObject("media", key, "e1", 10, "2024-01-01T00:00:00+00:00"), **fields)


def known(selected: SelectedObject, recipe: Recipe = RECIPE, **fields: Any) -> StateRow:
    """The state's row of an object that was indexed as `selected`."""
    made = StateRow(
        selected.object.key,
        asset_id("media", selected.object.key),
        generation(selected.object, selected.sidecars, recipe),
        selected.object.etag,
        selected.object.version_id,
        selected.object.size_bytes,
        Status.INDEXED,
        None,
        2,
        4000,
        tuple(sidecar.key for sidecar in selected.sidecars),
        1,
        "runs/x.parquet",
        recipe.digest(),
    )
    return replace(made, **fields)


def planned(
    selected: list[SelectedObject],
    state: list[StateRow],
    retry: RetryPolicy | None = None,
    recipe: Recipe = RECIPE,
) -> tuple[list[PlanRow], PlanSummary]:
    summary = PlanSummary()
    rows = plan_rows(selected, state, recipe, retry or RetryPolicy(), summary, bucket="media")
    return list(rows), summary


def one(selected: SelectedObject, state: StateRow, **how: Any) -> tuple[Action, str]:
    ((row,), _) = planned([selected], [state], **how)
    return row.action, row.reason


def test_new_unchanged_and_gone() -> None:
    old, gone = SelectedObject(obj("old")), SelectedObject(obj("gone"))
    rows, summary = planned([SelectedObject(obj("new")), old], [known(gone), known(old)])
    assert [(r.object.key, r.action) for r in rows] == [
        ("gone", Action.GONE),
        ("new", Action.NEW),
        ("old", Action.UNCHANGED),
    ]
    assert rows[0].object.uri == "s3://media/gone"
    assert rows[0].previous_generation == known(gone).generation
    assert rows[1].generation == generation(obj("new"), (), RECIPE)
    assert rows[1].asset_id == asset_id("media", "new")
    assert summary.objects == {"gone": 1, "new": 1, "unchanged": 1}
    assert summary.bytes == {"gone": 10, "new": 10, "unchanged": 10}
    assert summary.known_media_ms == {"gone": 4000, "unchanged": 4000}
    assert (summary.to_embed, summary.nothing_to_do) == (1, False)
    assert planned([old], [known(old)])[1].nothing_to_do


def test_the_reason_names_what_changed() -> None:
    text = obj("a.srt", etag="t1")
    was = SelectedObject(obj("a.mp4"), (text,))
    state = known(was)
    assert one(was, state) == (Action.UNCHANGED, "")
    now = SelectedObject(obj("a.mp4", etag="e2"), (text,))
    assert one(now, state) == (Action.CHANGED, "etag")
    now = SelectedObject(obj("a.mp4", version_id="v2"), (text,))
    assert one(now, state) == (Action.CHANGED, "version")
    assert one(SelectedObject(obj("a.mp4")), state) == (Action.CHANGED, "sidecar")
    now = SelectedObject(obj("a.mp4"), (replace(text, etag="t2"),))
    assert one(now, state) == (Action.CHANGED, "sidecar")
    assert one(was, state, recipe=OTHER) == (Action.CHANGED, "recipe")
    now = SelectedObject(obj("a.mp4", etag="e2"))
    assert one(now, state, recipe=OTHER) == (Action.CHANGED, "etag, sidecar, recipe")
    (row,), _ = planned([now], [state])
    assert row.previous_generation == state.generation != row.generation


def test_what_is_tried_again() -> None:
    it = SelectedObject(obj("a"))
    lost = known(it, status=Status.FAILED, failure=LOST, segments=0)
    broken = known(it, status=Status.REJECTED, failure=BROKEN, segments=0)
    denied = known(it, status=Status.DENIED, failure=BROKEN, segments=0)
    assert one(it, lost) == (Action.RETRY, "failed last time: store_unavailable")
    assert one(it, broken) == one(it, denied) == (Action.UNCHANGED, "")
    everything = RetryPolicy(all_failed=True)
    for state in (lost, broken, denied):
        assert one(it, state, retry=everything)[0] is Action.RETRY
    partial = known(it, status=Status.PARTIAL, failure=BROKEN)
    for state in (known(it), partial):
        assert one(it, state, retry=everything)[0] is Action.UNCHANGED
        assert one(it, state, retry=RetryPolicy(keys=frozenset({"a"}))) == (
            Action.RETRY,
            "asked for",
        )
    assert one(it, broken, retry=RetryPolicy(keys=frozenset({"b"})))[0] is Action.UNCHANGED


def test_what_left_cold_storage_is_tried_again() -> None:
    cold = known(SelectedObject(obj("a")), status=Status.ARCHIVED, segments=0)
    readable = RetryPolicy(readable_classes=frozenset({"STANDARD"}))
    frozen = SelectedObject(obj("a", storage_class="GLACIER"))
    assert one(SelectedObject(obj("a")), cold, retry=readable)[0] is Action.RETRY
    assert one(frozen, cold, retry=readable)[0] is Action.UNCHANGED


def test_a_key_of_two_buckets_is_two_objects() -> None:
    """In the order of buckets, whatever their keys; rows that name no bucket are of the state's."""
    here, there = SelectedObject(obj("a")), SelectedObject(obj("a", bucket="zoo"))
    later = SelectedObject(obj("b"))
    rows, _ = planned([here, there], [known(here), known(later, bucket="media")])
    assert [(r.object.bucket, r.object.key, r.action) for r in rows] == [
        ("media", "a", Action.UNCHANGED),
        ("media", "b", Action.GONE),
        ("zoo", "a", Action.NEW),
    ]
    assert rows[2].asset_id == asset_id("zoo", "a") != rows[0].asset_id
    of_zoo = known(there, bucket="zoo", asset_id=rows[2].asset_id)
    rows, _ = planned([here, there], [known(here), of_zoo])
    assert [r.action for r in rows] == [Action.UNCHANGED] * 2
    rows, _ = planned([here], [known(here), of_zoo])
    assert [(r.action, r.object.uri) for r in rows][1] == (Action.GONE, "s3://zoo/a")
    asked = RetryPolicy(keys=frozenset({"s3://zoo/a"}))
    rows, _ = planned([here, there], [known(here), of_zoo], asked)
    assert [r.action for r in rows] == [Action.UNCHANGED, Action.RETRY]


NAMES = st.text(alphabet="ab+ %/\n🐕\ue000é", min_size=1, max_size=4)
SIDE = st.dictionaries(NAMES, st.sampled_from(["e1", "e2"]))


@given(SIDE, SIDE)
def test_the_join_agrees_with_dicts(listed: dict[str, str], before: dict[str, str]) -> None:
    selected = [SelectedObject(obj(key, etag=etag)) for key, etag in sorted(listed.items())]
    state = [known(SelectedObject(obj(key, etag=etag))) for key, etag in sorted(before.items())]
    rows, summary = planned(selected, state)

    def expected(key: str) -> Action:
        if key not in before:
            return Action.NEW
        if key not in listed:
            return Action.GONE
        return Action.UNCHANGED if listed[key] == before[key] else Action.CHANGED

    wanted = [(key, expected(key)) for key in sorted({*listed, *before})]
    assert [(r.object.key, r.action) for r in rows] == wanted
    assert [w[0].encode() for w in wanted] == sorted(w[0].encode() for w in wanted)
    assert sum(summary.objects.values()) == len(wanted)


def test_planning_streams() -> None:
    endless = (SelectedObject(obj(f"{n:09d}")) for n in itertools.count())
    rows = plan_rows(endless, (), RECIPE, RetryPolicy(), PlanSummary(), bucket="media")
    assert len(list(itertools.islice(cut_into_shards(rows, 2, 100), 5))) == 5


def test_removals_beyond_the_share_are_refused() -> None:
    everything = [SelectedObject(obj(f"{n}")) for n in range(10)]
    state = [known(s) for s in everything]
    _, few = planned([*everything[2:], SelectedObject(obj("a"))], state)
    check_removals(few, 0.2)
    _, many = planned(everything[3:], state)
    with pytest.raises(PlanRefused, match=r"3 of 10 known objects \(30%\)") as refused:
        check_removals(many, 0.2)
    assert "--allow-removals" in refused.value.remedy
    assert "20%" in refused.value.message
    check_removals(many, 0.2, allowed=True)
    check_removals(planned([], [])[1], 0.0)


def test_shards_are_cut_by_count_and_by_size() -> None:
    sizes = [5, 5, 5, 100, 1, 1, 1, 1]
    selected = [SelectedObject(obj(f"{n}", size_bytes=s)) for n, s in enumerate(sizes)]
    rows, _ = planned(
        selected,
        [
            known(SelectedObject(obj("9"))),
        ],
    )
    cut = list(cut_into_shards(rows, 3, 12))
    assert [r.shard for r in cut] == [0, 0, 1, 2, 3, 3, 3, 4, -1]
    assert [replace(r, shard=-1) for r in cut] == rows


def test_what_the_listing_alone_decides() -> None:
    source = SourceSettings(bucket="media")
    (empty, frozen, good), _ = planned(
        [
            SelectedObject(obj("a", size_bytes=0), (obj("a.srt"),)),
            SelectedObject(obj("b", storage_class="GLACIER")),
            SelectedObject(obj("c")),
        ],
        [],
    )
    verdict = verdict_without_get(empty, source)
    assert verdict is not None
    assert verdict.failure is not None
    assert (verdict.status, verdict.failure.code) == (Status.REJECTED, "empty_object")
    assert (verdict.sidecars, verdict.generation) == (("a.srt",), empty.generation)
    verdict = verdict_without_get(frozen, source)
    assert verdict is not None
    assert verdict.failure is not None
    assert (verdict.status, verdict.failure.code) == (Status.ARCHIVED, "archived")
    assert "GLACIER" in verdict.failure.message
    assert verdict_without_get(replace(frozen, action=Action.RETRY), source) is None
    assert verdict_without_get(good, source) is None


def test_the_file_keeps_what_asks_for_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_file, "ROWS_PER_BATCH", 3)
    monkeypatch.setattr(plan_file, "ROWS_PER_GROUP", 3)
    same, gone = SelectedObject(obj("same")), SelectedObject(obj("gone"))
    nasty = ["+ %.mp4", "new\nline.mp4", "🐕.mp4", "/a/../b.mp4"]
    selected = [
        SelectedObject(obj(k), (obj(k + ".srt", version_id="v"), obj(k + "x"))) for k in nasty
    ]
    selected = sorted([*selected, same], key=lambda s: s.object.key)
    rows, summary = planned(selected, [known(gone), known(same)])
    cut = list(cut_into_shards(rows, 2, 1000))
    write_plan(tmp_path / "plan.parquet", iter(cut), summary)
    assert list(read_plan(tmp_path / "plan.parquet")) == [
        row for row in cut if row.action is not Action.UNCHANGED
    ]
    assert b'"unchanged": 1' in pq.read_metadata(tmp_path / "plan.parquet").metadata[b"summary"]
    assert list(rows_of_table(plan_table(cut))) == cut


def test_what_is_no_plan_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateCorrupt, match=r"plan\.parquet"):
        list(read_plan(tmp_path / "plan.parquet"))


def test_a_row_to_embed_has_a_generation() -> None:
    for action in TO_EMBED:
        with pytest.raises(ValueError, match="no generation"):
            PlanRow(action, obj("a"), "a", "", "")


def test_the_benchmark_runs(tmp_path: Path) -> None:
    """Both runs of the benchmark, small, and in this process: no figures here."""
    first = planning.plan_once(tmp_path, 2000, commit=True)
    assert (first["to_embed"], first["unchanged"]) == (1600, 0)
    second = planning.plan_once(tmp_path, 2000, commit=False)
    assert (second["to_embed"], second["unchanged"]) == (0, 1600)
