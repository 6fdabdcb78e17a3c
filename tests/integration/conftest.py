"""A migrated database for the Prefect servers of these tests: making one takes half a minute."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one; each server takes a copy. Workers that run side by side make it once."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all of them
    made, ready = folder / "prefect-being-made", folder / "prefect-made"
    with (folder / "prefect-made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            subprocess.run(
                [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
                env={**os.environ, "PREFECT_HOME": str(made)},
                check=True, capture_output=True, timeout=280 * PATIENCE,
            )  # fmt: skip
            made.rename(ready)
    return ready / "prefect.db"
