"""Small files under `~/.cache/sensedex` (or XDG_CACHE_HOME): digests, proofs of precision."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)


def cache_home() -> Path:
    """The user's cache folder, by XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensedex"


def read_cached(path: Path) -> str | None:
    """The text of a file, None where there is none that can be read."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None


def write_cached(path: Path, text: str) -> None:
    """Whole or not at all, whoever else writes it. A cache that cannot be written costs the work
    again and nothing else: it is said once a process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        _warn_once(f"{path.parent} cannot be written ({error.strerror}): nothing is kept there.")


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)
