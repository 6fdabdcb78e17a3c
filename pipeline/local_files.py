"""Files on this machine: folders for one piece of work, and a file that a person asked for. What
the system refuses is said with the remedy."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ScratchFull, SettingsError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of our own, on the disk that TMPDIR names, that goes with the context.

    Raises ScratchFull where a write to it found no room, whoever wrote.
    """
    with room_named(), tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        yield Path(folder)


@contextmanager
def room_named(folder: Path | None = None) -> Iterator[None]:
    """Raises ScratchFull where a write to a folder, the one of scratch files, found no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ScratchFull(
            f"There is no room left in {folder or tempfile.gettempdir()} ({error.strerror}).",
            remedy="Make room there, or set TMPDIR to a disk that has some."
            if folder is None
            else "Make room there, or name another folder in the settings.",
        ) from error


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
