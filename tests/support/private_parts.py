"""What is used of other packages beside their documented interface: its names, and its canaries."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.parsed import parsed

PAGE = "docs/dependencies.md"
CANARIES = ("tests/test_private_clients_and_networks.py", "tests/test_private_ray_and_prefect.py")


def broke(package: str, what: str) -> str:
    """What a canary says when it fails."""
    return f"{package} {importlib.metadata.version(package)} {what}; {PAGE} says what it is for"


def canaries(root: Path) -> set[str]:
    return {
        node.name
        for file in CANARIES
        for node in parsed(root / file).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def private_names(path: Path) -> Iterator[str]:
    """Attributes and modules with a leading underscore that are not the file's own."""
    tree = parsed(path)
    own = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _of_self(n.value)}
    own |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [] if _of_self(node.value) or node.attr in own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        else:
            continue
        yield from (n for n in names if re.fullmatch(r"_[a-z]\w*", n))


def _of_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
