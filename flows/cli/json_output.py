"""Facts for machines: JSON on standard output, and nothing else there."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(facts: Any) -> None:
    """ASCII only: a key may hold what no terminal should be shown."""
    sys.stdout.write(json.dumps(facts, ensure_ascii=True, indent=1, default=str) + "\n")
