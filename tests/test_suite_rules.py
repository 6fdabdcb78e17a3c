"""The suite itself: what tests share stands in tests/support/, once."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.parsed import parsed
from tests.support.waiting_apart import LONGEST, SHARING, TOGETHER

REDEFINED = "noqa: " + "F811"  # ruff's word for an argument that hides an imported fixture


def imported(path: Path) -> Iterator[str]:
    """Every module of tests/ that the file may mean by its imports, with dots."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def borrowed(folder: Path) -> list[str]:
    """Imports of a test file, or of a folder's conftest.py, as if it were a library."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for name in imported(path):
            parts = name.split(".")
            file = folder.parent.joinpath(*parts).with_suffix(".py")
            if file.is_file() and parts[0] == folder.name and _is_pytests(parts[-1]):
                found.append(f"{path.relative_to(folder.parent).as_posix()} imports {name}")
    return found


def _is_pytests(module: str) -> bool:
    return module.startswith("test_") or module == "conftest"


def defined(folder: Path, name: str) -> list[str]:
    """The files that define a function or a variable of that name, a line for each time."""
    return [
        path.relative_to(folder.parent).as_posix()
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.FunctionDef) and node.name == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
    ]


def silenced(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder.parent).as_posix()}:{number}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if REDEFINED in line
    ]


def test_no_test_file_is_a_library(root_dir: Path) -> None:
    """Shared helpers belong to tests/support/, shared fixtures to a conftest.py or to a plugin."""
    assert borrowed(root_dir / "tests") == []


def test_no_fixture_is_imported_past_ruff(root_dir: Path) -> None:
    assert silenced(root_dir / "tests") == []


def test_settings_are_built_in_one_place(root_dir: Path) -> None:
    assert defined(root_dir / "tests", "settings_for") == ["tests/support/run_settings.py"]


def test_what_shares_ray_and_prefect_keeps_to_one_worker(root_dir: Path) -> None:
    """Each further worker would start both for itself."""
    asking = [
        path.relative_to(root_dir).as_posix()
        for path in (root_dir / "tests").rglob("test_*.py")
        if path.name != Path(__file__).name
        and ("ray_running" in path.read_text() or "prefect_running" in path.read_text())
    ]
    assert sorted(asking) == sorted(SHARING)


def test_what_is_told_where_to_run_is_there(root_dir: Path) -> None:
    """A file that got another name would run anywhere, and last."""
    told = [*LONGEST, *(file for files in TOGETHER for file in files)]
    assert [file for file in told if not (root_dir / file).is_file()] == []
    assert len(set(told)) == len(told)


@pytest.mark.slow("collects a folder, in a process of its own")
def test_what_wants_a_real_server_is_marked_so(root_dir: Path) -> None:
    """`-m "not qdrant_server"` leaves all of tests/server out, wherever a server is named."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/server"]
    told = subprocess.run(
        [*command, "-m", "not qdrant_server"],
        cwd=root_dir,
        env={**os.environ, "SENSEDEX_TEST_QDRANT_BIN": sys.executable},  # not started
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()[-1]
    found = re.fullmatch(r"no tests collected \((\d+) deselected\).*", told)
    assert found, told
    assert int(found[1]) > 0


@pytest.mark.slow("imports torch and the pipeline")
def test_what_needs_a_gpu_is_kept_up_without_one(root_dir: Path) -> None:
    """Nothing of tests/gpu is collected where there is none: its imports at least must hold."""
    files = sorted((root_dir / "tests/gpu").glob("test_*.py"))
    assert files
    for file in files:
        module = importlib.import_module(f"tests.gpu.{file.stem}")
        assert any(name.startswith("test_") for name in vars(module)), file


def test_the_rules_see_a_breach(tmp_path: Path) -> None:
    """The tests above must be able to fail."""
    tests = tmp_path / "tests"
    for name, text in {
        "test_a.py": "def settings_for(): ...\n",
        "conftest.py": "",
        "inside/test_b.py": f"from tests.test_a import settings_for  # {REDEFINED}\n",
        "inside/c.py": "def f():\n    from tests import conftest, test_a\n",
        "inside/d.py": "settings_for = None\n",
    }.items():
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        (tests / name).write_text(text)
    assert borrowed(tests) == [
        "tests/inside/c.py imports tests.conftest",
        "tests/inside/c.py imports tests.test_a",
        "tests/inside/test_b.py imports tests.test_a",
    ]
    assert silenced(tests) == ["tests/inside/test_b.py:1"]
    assert defined(tests, "settings_for") == ["tests/inside/d.py", "tests/test_a.py"]
