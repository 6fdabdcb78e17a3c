"""Versions of what works together, as `sensedex --version` and a report of a defect need them."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from flows.cli.exit_codes import Exit

PACKAGES = ("torch", "ray", "qdrant-client", "prefect", "av")
COMMIT_FILE = Path(__file__).parent / "commit.txt"


def versions() -> dict[str, str]:
    """Of sensedex, its commit, Python, and the packages on which most depends; nothing is
    imported."""
    found = {"sensedex": _version("sensedex"), "commit": commit()}
    found["Python"] = platform.python_version()
    return found | {name: _version(name) for name in PACKAGES}


def commit() -> str:
    """Of the wheel, or of the checkout that this lies in; `unknown` where neither says."""
    if COMMIT_FILE.is_file():
        return COMMIT_FILE.read_text().strip()
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "unknown"
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def version_line() -> str:
    """On one line, as one pastes it."""
    found = versions()
    own = f"sensedex {found.pop('sensedex')} ({found.pop('commit')})"
    return ", ".join([own, *(f"{name} {number}" for name, number in found.items())])


def print_versions(wanted: bool) -> None:
    """For `--version`, before a command is asked for."""
    if wanted:
        print(version_line())
        raise typer.Exit(Exit.OK)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
