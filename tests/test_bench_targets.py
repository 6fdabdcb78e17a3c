"""The end of `make bench`: which targets are missed, by how much."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.targets import at_least, at_most, missed_share, summary


@pytest.mark.parametrize(
    ("figure", "target", "share"),
    [
        (5.0, at_most(5), 0.0),
        (6.0, at_most(5), 0.2),
        (4.0, at_most(5), 0.0),
        (1.2, at_least(1.2), 0.0),
        (0.9, at_least(1.2), 0.25),
        (math.nan, at_most(5), math.inf),
        (math.nan, at_least(5), math.inf),
    ],
)
def test_by_how_much(figure: float, target: dict[str, Any], share: float) -> None:
    assert missed_share(figure, target) == pytest.approx(share)


def test_the_farthest_missed_comes_first_and_figures_without_a_target_do_not() -> None:
    pictures = {"name": "pictures", "value": 80, "unit": "a second", "ratio": 1.1}
    search = {"name": "new words", "value": 44.0, "unit": "ms", "p99": 90.0}
    said = summary(
        {
            "yardsticks": [pictures | {"targets": [at_least(1.2, "ratio")]}, {"name": "whole"}],
            "search": [search | {"targets": [at_most(20), at_most(120, "p99")]}],
        }
    )
    head, first, second = said.splitlines()
    assert head == "Targets: 1 met, 2 missed:"
    squeezed = [" ".join(line.split()) for line in (first, second)]
    assert squeezed == [
        "search: new words 44 at most 20 ms by 120%",
        "yardsticks: pictures, ratio 1.1 at least 1.2 by 8%",
    ]
    assert summary({"search": [search | {"targets": []}]}) == "Targets: 0 met, 0 missed."


def test_make_bench_ends_with_it(root_dir: Path, tmp_path: Path) -> None:
    """By a benchmark that finds no server here, and measures nothing."""
    command = [sys.executable, "-m", "tests.bench", "server_load", "--out", str(tmp_path)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=root_dir, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Targets: 0 met, 0 missed." in done.stdout
    assert json.loads((tmp_path / "all.json").read_text()) == {"server_load": []}
