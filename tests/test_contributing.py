"""CONTRIBUTING.md leads to files that are there."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_path_that_it_names_is_there(root_dir: Path) -> None:
    text = (root_dir / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"\b(?:encoders|pipeline|flows|tests|docs|infra)/[\w/.]*[\w/]", text))
    assert len(named) > 25
    assert sorted(path for path in named if not (root_dir / path).exists()) == []
