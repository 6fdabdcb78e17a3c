"""Files on this machine: folders for one piece of work, and a file that a person asked for. What
the system refuses is said with the remedy."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import ScratchFull, SettingsError

_PREFIX = "sensedex-"
_OWNER = ".owner"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of our own, on the disk that TMPDIR names, that goes with the context. That of a
    process that was killed stays, until `remove_abandoned_scratch`.

    Raises ScratchFull where a write to it found no room, whoever wrote.
    """
    with room_named(), tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        begun = folder / f"{_OWNER}-begun"
        with begun.open("wb") as file:
            # Locked before it has its name: who finds it by that name finds it locked.
            fcntl.flock(file, fcntl.LOCK_EX)
            begun.rename(folder / _OWNER)
            yield folder


def remove_abandoned_scratch() -> int:
    """Delete the scratch folders of this user whose processes were killed, and say how many. The
    system lets go of a dead process's lock, whatever killed it."""
    removed = 0
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        if owner.parent.is_symlink():
            continue
        with suppress(OSError), owner.open("rb") as file:  # another user's, or just gone
            if os.fstat(file.fileno()).st_uid != os.getuid():
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is alive
            shutil.rmtree(owner.parent)
            removed += 1
    return removed


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
