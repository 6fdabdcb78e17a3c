"""Folders for files that live no longer than one piece of work, on the disk that TMPDIR names."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ScratchFull


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of our own that goes with the context.

    Raises ScratchFull where a write to it found no room, whoever wrote.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ScratchFull(
            f"There is no room left in {tempfile.gettempdir()} ({error.strerror}).",
            remedy="Make room there, or set TMPDIR to a disk that has some.",
        ) from error
