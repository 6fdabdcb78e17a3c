"""Versions: of the lock, of sensedex, of the images and tools that infra/ names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def locked_version(root: Path, package: str) -> str:
    """The version of a package in requirements.lock. Raises ValueError where it is not there."""
    lock = (root / "requirements.lock").read_text()
    found = re.search(rf"^{re.escape(package)}(?:\[[^\]]*\])?==([^\s\\;]+)", lock, flags=re.M)
    if found is None:
        raise ValueError(f"{package} is not in the lock")
    return found[1]


def own_version(root: Path) -> str:
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def tags(text: str) -> set[tuple[str, str]]:
    """Images by their last name, and tags, wherever a text names one with a tag."""
    named = re.findall(r"(?:[\w.-]+/)*([a-z]+):(v?\d+\.\d+\.\d+[\w.-]*)", text)
    split = re.findall(r"(?:newName|repository): (\S+)[^\n]*\n\s+(?:newTag|tag): (\S+)", text)
    return {*named, *((name.rpartition("/")[2], tag) for name, tag in split)}
