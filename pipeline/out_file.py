"""A file that a person asked for, by a name that may not be writable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import SettingsError


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Raises SettingsError that names the file where the system does not let it be written."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror or error}.",
            remedy="Name a file in a folder that is there, can be written and has room.",
        ) from error
