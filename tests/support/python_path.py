"""The path on which processes that tests start look for modules."""

from __future__ import annotations

import os
from pathlib import Path

STARTUP = Path(__file__).parent / "startup"


def python_path(*folders: str | Path) -> str:
    """These folders, as PYTHONPATH takes them, behind the one that Python starts with."""
    return os.pathsep.join(str(folder) for folder in (STARTUP, *folders) if str(folder))
