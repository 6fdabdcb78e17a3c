"""Benchmarks that call much of the pipeline by its own names run to their end, with little work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server]


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["verify", "--objects", "300", "--dimension", "8"], 2),
        (["protocol", "--objects", "40", "--engine", "loop"], 1),
    ],
    ids=["verify", "protocol"],
)
def test_it_runs_to_its_end(root_dir: Path, tmp_path: Path, words: list[str], rows: int) -> None:
    name, *options = words
    file = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", *options, "--json", str(file)],
        cwd=root_dir, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(file.read_text())
    assert len(made) >= rows
    assert all(row["targets"] for row in made[:rows])
