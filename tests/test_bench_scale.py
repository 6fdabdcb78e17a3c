"""The scaling table's arithmetic, and docs/scale.md beside the formula that it states."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import scale_costs, scaling


def test_the_document_has_the_tables_of_the_formula(root_dir: Path) -> None:
    text = (root_dir / "docs/scale.md").read_text()
    assert scale_costs.inputs(scale_costs.MEASURED) in text
    assert scale_costs.inputs(scale_costs.ASSUMED) in text
    assert scale_costs.table([scale_costs.cost(work) for work in scale_costs.WORKS]) in text
    assert scale_costs.PRICES_OF in text


def test_more_work_takes_more_nodes_and_no_longer_than_it_may() -> None:
    small, large = scale_costs.pictures(1e6, 1), scale_costs.pictures(1e8, 6)
    assert scale_costs.cost(small).nodes < scale_costs.cost(large).nodes
    assert scale_costs.cost(large).hours <= scale_costs.value("within_h")
    most = scale_costs.cost(replace(large, objects=1e9, windows=1e9, qdrant_nodes=100))
    assert most.binds == "the driver", "nodes do not help there"
    assert most.hours > scale_costs.value("within_h")


@pytest.fixture(scope="module")
def small_run(root_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.null_run", str(tmp_path_factory.mktemp("run"))]
    command += ["--keys", "3000", "--engine", "elsewhere"]
    done = subprocess.run(command, cwd=root_dir, check=True, capture_output=True, text=True)
    return {"keys": 3000, **json.loads(done.stdout.splitlines()[-1])}


def test_a_null_run_leaves_what_a_run_leaves(small_run: dict[str, float]) -> None:
    assert (small_run["objects"], small_run["receipts"], small_run["listing_pages"]) == (
        2400,
        10,
        3,
    )
    assert min(small_run[name] for name in scaling.GROWING) > 0


def test_what_grows_faster_is_told_from_what_grows_alike(small_run: dict[str, float]) -> None:
    ten_times = {name: 10 * figure for name, figure in small_run.items()}
    assert list(scaling.exponents(small_run, ten_times).values()) == pytest.approx([1.0] * 9)
    quadratic = scaling.exponents(small_run, ten_times | {"plan_s": 100 * small_run["plan_s"]})
    assert quadratic["plan_s"] == pytest.approx(2.0)
    [row] = [
        row
        for row in scaling.rows_of([small_run, ten_times])
        if row["name"] == "30,000 keys: receipts"
    ]
    assert (row["value"], row["baseline"], row["ratio"]) == (100, 100, 1)


def test_the_largest_is_extrapolated(small_run: dict[str, float]) -> None:
    largest = scaling.extrapolated(scaling.with_latency(small_run), 30_000)
    assert largest["receipts"] == 100
    assert largest["driver_mb"] == small_run["driver_mb"]
    assert largest["plan_on_s3_s"] >= 30 * scaling.LIST_PAGE_S
