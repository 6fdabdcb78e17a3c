"""docs/dependencies.md says what `pyproject.toml` and the code say."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.private_parts import PAGE, canaries, private_names

# What a release may take away without a word: held below the next minor version.
HELD = ("boto3", "prefect", "qdrant-client", "ray", "torch")


def test_each_canary_stands_on_the_page(root_dir: Path) -> None:
    page = (root_dir / PAGE).read_text()
    assert set(re.findall(r"`(test_\w+)`", page)) == canaries(root_dir)


def test_every_private_name_stands_on_the_page(root_dir: Path) -> None:
    page = (root_dir / PAGE).read_text()
    public = {"_exit", "_typeshed"}  # os._exit is documented, and the stubs are for mypy alone
    missing = [
        f"{path.relative_to(root_dir)}: {name}"
        for package in ("encoders", "pipeline", "flows")
        for path in sorted((root_dir / package).rglob("*.py"))
        for name in private_names(path)
        if name not in public and not re.search(rf"\b{name}\b", page)
    ]
    assert missing == []


@pytest.mark.parametrize("name", HELD)
def test_a_package_whose_internals_are_used_is_held_to_what_was_tried(
    name: str, root_dir: Path
) -> None:
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())["project"]
    wanted = next(r for r in map(Requirement, project["dependencies"]) if r.name == name)
    here = Version(importlib.metadata.version(name))
    assert here in wanted.specifier
    assert Version(f"{here.major}.{here.minor + 1}") not in wanted.specifier
    locked = (root_dir / "requirements.lock").read_text()
    assert re.search(rf"^{name}(\[[^]]*\])?=={re.escape(here.public)} ", locked, flags=re.M)


def test_every_run_time_dependency_stands_on_the_page(root_dir: Path) -> None:
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())["project"]
    rows = re.findall(r"^\| `([\w-]+)` \|", (root_dir / PAGE).read_text(), flags=re.M)
    assert sorted(rows) == sorted(Requirement(d).name for d in project["dependencies"])
