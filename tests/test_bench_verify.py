"""The benchmark of `sensedex verify`: what it makes and what answers in place of a server agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.server
def test_what_it_made_agrees_with_what_answers(root_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "verify.json"
    command = [sys.executable, "-m", "tests.bench.verify", "--json", str(file)]
    done = subprocess.run(
        [*command, "--objects", "300", "--dimension", "8"],
        cwd=root_dir, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [row["name"].rpartition(": ")[2] for row in json.loads(file.read_text())]
    assert names == ["seconds", "peak_mb"]
    assert '"sampled": 900' in done.stdout
