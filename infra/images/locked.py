"""Prints the part of requirements.lock that an image takes, block by block, hashes included.

    python3 locked.py --extra demo --extra traces > requirements.txt
    python3 locked.py --extra demo --without-torch > requirements.txt
    python3 locked.py --only torch --only torchaudio --versions

The lock holds every extra. What belongs to which is in its own `# via` lines: a package is taken
where pyproject.toml names it, plainly or in one of the extras, or where a taken one needs it. Names
lose their extras (`ray[data]`): pip is told not to resolve (`--no-deps`), since the lock is whole.

cluster.lock beside this has what a Ray cluster needs beyond that (`ray[default]`: the dashboard, by
which jobs are submitted and a node says that it is well, and metrics), at the versions of
requirements.lock where both have a package. It is made by

    echo "ray[default]==$RAY" | uv pip compile - --constraint requirements.lock --generate-hashes \\
      --no-emit-index-url --no-header --python-version 3.11 -o infra/images/cluster.lock

This runs on the system's Python, before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# torch and what is there for it alone, where it computes on a GPU.
FOR_CUDA = re.compile(r"(nvidia-.*|cuda-.*|triton)")
TORCH = ("torch", "torchaudio", "torchvision")
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;]+)")


@dataclass(frozen=True)
class Locked:
    """One package of the lock: `lines` are what pip reads, `via` who needs it."""

    name: str
    version: str
    lines: tuple[str, ...]
    via: frozenset[str]


def canonical(name: str) -> str:
    """As package indexes compare names; extras and bounds are dropped."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;(]", name.strip(), maxsplit=1)[0]).lower()


def read_lock(text: str) -> dict[str, Locked]:
    """Every package by its name. Raises ValueError for a pinned package without a hash."""
    packages = {}
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    for block in blocks:
        found = _PINNED.match(block)
        if found is None:
            raise ValueError(f"not a pinned package: {block.splitlines()[0]}")
        if "--hash=sha256:" not in block:
            raise ValueError(f"{found[1]} has no hash")
        lines = [line for line in block.splitlines() if not line.lstrip().startswith("#")]
        lines[0] = re.sub(r"\[[^\]]*\]", "", lines[0], count=1)
        via = {
            canonical(comment.strip(" #").removeprefix("via"))
            for comment in block.splitlines()
            if comment.lstrip().startswith("#")
        }
        name = canonical(found[1])
        packages[name] = Locked(name, found[2], tuple(lines), frozenset(via - {""}))
    return packages


def together(first: Mapping[str, Locked], second: Mapping[str, Locked]) -> dict[str, Locked]:
    """Both locks as one. Raises ValueError for a package of which they have two versions."""
    both = dict(first)
    for name, package in second.items():
        there = both.get(name, package)
        if there.version != package.version:
            raise ValueError(f"{name} is locked as {there.version} and as {package.version}")
        both[name] = Locked(name, there.version, there.lines, there.via | package.via)
    return both


def wanted(packages: Mapping[str, Locked], first: Iterable[str]) -> set[str]:
    """The names in `first`, and all that they need. Raises ValueError for one that is missing."""
    taken = {canonical(name) for name in first}
    if missing := taken - packages.keys():
        raise ValueError(f"not in the lock: {', '.join(sorted(missing))}")
    while more := {
        name for name, package in packages.items() if name not in taken and package.via & taken
    }:
        taken |= more
    return taken


def named_by(pyproject: Path, extras: Iterable[str]) -> list[str]:
    """The packages that pyproject.toml names, plainly and in these extras."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(name for extra in extras for name in optional[extra])]


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", type=Path, default=root / "requirements.lock")
    parser.add_argument("--cluster", type=Path, default=root / "infra/images/cluster.lock")
    parser.add_argument("--pyproject", type=Path, default=root / "pyproject.toml")
    parser.add_argument("--extra", action="append", default=[], help="an extra to take as well")
    parser.add_argument("--only", action="append", default=[], help="this one, and what it needs")
    parser.add_argument("--without-torch", action="store_true", help="nor CUDA's libraries")
    parser.add_argument("--versions", action="store_true", help="NAME==VERSION, without hashes")
    given = parser.parse_args()
    packages = together(read_lock(given.lock.read_text()), read_lock(given.cluster.read_text()))
    if given.versions:
        for name in given.only:
            print(f"{name}=={packages[canonical(name)].version}")
        return
    taken = wanted(packages, given.only or named_by(given.pyproject, given.extra))
    if given.without_torch:
        taken = {name for name in taken if name not in TORCH and not FOR_CUDA.fullmatch(name)}
    for name in sorted(taken):
        print("\n".join(packages[name].lines))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"locked.py: {error}")
