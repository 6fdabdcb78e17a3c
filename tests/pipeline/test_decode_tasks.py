"""How a plan is cut for the decoders of a graph, and handed out by ranges of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.embed.decode_tasks import (
    MOST_OBJECTS_PER_TASK,
    DecodeTask,
    TaskSize,
    decode_tasks,
    size_of_plan,
    task_size,
)
from pipeline.errors import StateCorrupt
from pipeline.planning import file as plan_files
from pipeline.planning.diff import PlanSummary
from pipeline.planning.file import PlanFile, rows_of_table, write_plan
from pipeline.records import Action, MediaObject, PlanRow

MANY = TaskSize(10**6, 10**12)


def planned(shards: Sequence[int], sizes: Sequence[int] | None = None) -> list[PlanRow]:
    """A row each; of shard -1 is what left the bucket."""
    return [
        PlanRow(
            Action.NEW if shard >= 0 else Action.GONE,
            MediaObject("media", f"{number:06d}.jpg", "e", sizes[number] if sizes else 10, ""),
            f"asset-{number}", "g" if shard >= 0 else "", "new", shard=shard,
        )
        for number, shard in enumerate(shards)
    ]  # fmt: skip


def written(folder: Path, rows: Sequence[PlanRow]) -> Path:
    write_plan(folder / "plan.parquet", rows, PlanSummary())
    return folder / "plan.parquet"


def objects_of(path: Path, tasks: Sequence[DecodeTask]) -> list[list[str]]:
    """The keys that each task's decoder would get."""
    plan = PlanFile(path)
    tables = (plan.rows(task.first, task.count) for task in tasks)
    return [[row.object.key for row in rows_of_table(t) if row.shard >= 0] for t in tables]


@pytest.mark.parametrize("per_batch", [2, 3, 4096])
@pytest.mark.parametrize("objects", [1, 2, 5, 100])
@pytest.mark.parametrize("chosen", [{0, 1, 2, 3}, {1}, {0, 2}, {3}, {0, 3}])
def test_each_object_of_the_shards_is_in_one_task(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    per_batch: int,
    objects: int,
    chosen: set[int],
) -> None:
    monkeypatch.setattr(plan_files, "ROWS_PER_BATCH", per_batch)
    monkeypatch.setattr(plan_files, "ROWS_PER_GROUP", 2 * per_batch)
    shards = [-1, 0, 0, -1, 0, 1, 1, 1, -1, -1, 2, 2, 3, -1, 3, -1]
    rows = planned(shards)
    path = written(tmp_path, rows)
    tasks = list(decode_tasks(path, chosen, TaskSize(objects, 10**9)))
    found = objects_of(path, tasks)
    keys = [key for task in found for key in task]
    assert keys == [row.object.key for row in rows if row.shard in chosen]
    assert max(map(len, found)) <= objects
    assert size_of_plan(path, chosen) == (len(keys), 10 * len(keys))


def test_large_objects_are_tasks_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, planned([0] * 6, [1, 1, 500, 1, 60, 50]))
    tasks = list(decode_tasks(path, {0}, TaskSize(16, 100)))
    assert [len(keys) for keys in objects_of(path, tasks)] == [2, 1, 2, 1]


def test_a_large_plan_is_cut_into_larger_tasks() -> None:
    small, large = task_size(1_000, 10**6, 4), task_size(10**7, 3 * 10**12, 4)
    assert small.objects < large.objects == MOST_OBJECTS_PER_TASK
    assert small.size_bytes < large.size_bytes
    # Whoever has many decoders keeps all of them busy.
    assert task_size(10**6, 10**11, 1000).objects == 31


def test_no_plan_is_said(tmp_path: Path) -> None:
    (tmp_path / "plan.parquet").write_bytes(b"PAR1")
    for ask in (PlanFile, lambda path: list(decode_tasks(path, {0}, MANY))):
        with pytest.raises(StateCorrupt, match=r"plan\.parquet is not a plan"):
            ask(tmp_path / "plan.parquet")


def test_its_name_may_go(tmp_path: Path) -> None:
    path = written(tmp_path, planned([0, 0]))
    plan = PlanFile(path)
    path.unlink()
    assert plan.rows(1, 1).num_rows == 1
