"""What the command says of itself: quick help, versions, sizes, and documents that agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.exit_codes import MEANINGS, Exit
from flows.cli.main import app


def test_help_loads_nothing_heavy(root_dir: Path) -> None:
    code = (
        "import sys; from flows.cli.main import app;"
        "heavy = {'torch', 'ray', 'prefect', 'qdrant_client', 'boto3', 'av'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_versions_are_said_without_an_import() -> None:
    from flows.cli.versions import version_line

    line = version_line()
    for package in ("torch", "ray", "qdrant-client"):
        assert f"{package} {version(package)}" in line
    assert re.match(r"sensedex \S+ \([0-9a-f]{7,}(-dirty)?\), Python 3", line)
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == line


def test_the_size_of_a_collection() -> None:
    done = CliRunner().invoke(app, ["size", "--points", "1e8", "--replicas", "2", "--json"])
    facts = json.loads(done.stdout)
    by_name = {(one["datatype"], one["quantization"]): one for one in facts["layouts"]}
    full, small = by_name["float32", "none"], by_name["float16", "turbo"]
    assert full["memory_gb"] > 2 * 1e8 * 8192 / 1e9, "all vectors, twice"
    assert small["nodes"] < full["nodes"]
    assert facts["parquet_gb"] == pytest.approx(819.2)
    assert CliRunner().invoke(app, ["size"]).exit_code == 2


def test_the_exit_codes_are_documented(root_dir: Path) -> None:
    text = (root_dir / "docs/cli.md").read_text()
    assert set(MEANINGS) == set(Exit)
    rows = {int(n) for n in re.findall(r"^\| (\d+) \|", text, flags=re.M)}
    assert rows == {code.value for code in Exit}


def test_every_command_is_documented(root_dir: Path) -> None:
    text = (root_dir / "docs/cli.md").read_text()
    named = set(re.findall(r"^\| `sensedex ([a-z]+(?: [a-z]+)?)", text, flags=re.M))
    assert named == set(command_names(typer.main.get_command(app)))


def command_names(group: Any) -> Iterator[str]:
    """As they are typed: those of a group with its name before them."""
    for name, command in group.commands.items():
        inside = getattr(command, "commands", None)
        yield from (f"{name} {n}" for n in command_names(command)) if inside else (name,)
