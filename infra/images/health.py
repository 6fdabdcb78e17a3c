#!/opt/sensedex/bin/python
"""The image's health check: asks what runs here, by the role that start.sh noted.

Exit status 0 where it answers and 1 where it does not. A container that runs a command has no role:
its exit status tells.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

RAYLET = "http://127.0.0.1:52365/api/local_raylet_healthz"
PAGES = {
    "head": ("http://127.0.0.1:8265/api/gcs_healthz", RAYLET),
    "node": (RAYLET,),
    "worker": ("http://127.0.0.1:8080/health",),
    "server": ("http://127.0.0.1:4200/api/health",),
    "bucket": ("http://127.0.0.1:8333/",),
}
REFUSES_THE_UNKNOWN = "bucket"  # it answers 403 to who has no signature, and so lives
WITHIN_S = 5.0


def pages_of(role: str, environment: dict[str, str]) -> tuple[str, ...]:
    """What has to answer. A worker that has joined a Ray cluster is nothing without its raylet."""
    joined = role == "worker" and environment.get("RAY_HEAD")
    return (*PAGES[role], RAYLET) if joined else PAGES[role]


def answers(url: str, role: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=WITHIN_S).close()
    except urllib.error.HTTPError as error:
        return role == REFUSES_THE_UNKNOWN and error.code == 403
    except OSError:
        return False
    return True


def main() -> int:
    note = Path(os.environ.get("TMPDIR", "/tmp")) / "role"
    if not note.is_file():
        return 0
    role = note.read_text().strip()
    silent = [url for url in pages_of(role, dict(os.environ)) if not answers(url, role)]
    for url in silent:
        print(f"no answer from {url}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
