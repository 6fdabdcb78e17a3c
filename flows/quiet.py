"""While a run shows its progress on a screen, the logs of Prefect and Ray keep to warnings."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Both read their levels when they are imported: enter before they are. A level that the user
    has set stays."""
    added = [name for name in QUIET if name not in os.environ]
    for name in added:
        os.environ[name] = QUIET[name]
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
