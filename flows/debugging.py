"""The switch for tracebacks: `--debug`, or SENSEDEX_DEBUG."""

from __future__ import annotations

import os

DEBUG_VARIABLE = "SENSEDEX_DEBUG"


def debugging() -> bool:
    """Whether tracebacks are asked for: by `--debug`, or the variable that it sets."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
