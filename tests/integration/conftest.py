"""A migrated database for the Prefect servers of these tests: making one takes half a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one; each server takes a copy."""
    home = tmp_path_factory.mktemp("prefect-home")
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
        env={**os.environ, "PREFECT_HOME": str(home)},
        check=True, capture_output=True, timeout=280,
    )  # fmt: skip
    return home / "prefect.db"
