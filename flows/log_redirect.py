"""While a run shows its progress on a screen, the chatter of Prefect and Ray goes to a log file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.json_lines import JsonLines

QUIET = {"PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_LOGGING_SERVER_LEVEL": "WARNING"}


@contextmanager
def quiet_logs(log: Path) -> Iterator[None]:
    """What engines write to file descriptor 2 goes to `log`; Python's own `sys.stderr` stays.

    Ray's core writes there past every logging setting. Prefect reads its levels when it is
    imported: enter before it is. A level that the user has set stays.
    """
    added = [name for name in QUIET if name not in os.environ]
    for name in added:
        os.environ[name] = QUIET[name]
    log.parent.mkdir(parents=True, exist_ok=True)
    python_stderr = sys.stderr
    python_stderr.flush()
    screen = os.dup(2)
    with log.open("ab") as file, os.fdopen(screen, "w", buffering=1, closefd=False) as kept:
        os.dup2(file.fileno(), 2)
        sys.stderr = python_stderr.over(kept) if isinstance(python_stderr, JsonLines) else kept
        try:
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(screen, 2)
            kept.close()  # writes half a line that is left in it, while there is a screen
            os.close(screen)
            if not os.fstat(file.fileno()).st_size:
                log.unlink(missing_ok=True)  # nothing was said
                with suppress(OSError):
                    log.parent.rmdir()
            for name in added:
                os.environ.pop(name, None)
