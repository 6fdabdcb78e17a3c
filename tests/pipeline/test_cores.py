"""The cores that count are those that this process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.embed.engine import usable_cores


def test_one_core_where_the_process_is_held_to_one(root_dir: Path) -> None:
    core = min(os.sched_getaffinity(0))
    script = f"import os; os.sched_setaffinity(0, [{core}]); from pipeline.embed.engine import *; "
    told = subprocess.run(
        [sys.executable, "-c", script + "print(usable_cores())"],
        cwd=root_dir, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout == "1\n"


@pytest.mark.parametrize(
    ("quota", "most"),
    [("max 100000", None), ("100000 100000", 1), ("150000 100000", 2), ("1000 100000", 1)],
)
def test_a_containers_share_of_time(tmp_path: Path, quota: str, most: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    allowed = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "cpu.max") == min(allowed, most or allowed)


def test_where_there_is_no_container(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == len(os.sched_getaffinity(0))
