"""Python files as syntax trees, each parsed once: several tests look at all of them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """The file as it is now."""
    return _parsed(path, path.stat().st_mtime_ns)


@cache
def _parsed(path: Path, _written_ns: int) -> ast.Module:
    return ast.parse(path.read_text())
