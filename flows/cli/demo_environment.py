"""The environment of the demo: its own credentials and its own Prefect, nobody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The server's own, given to it when it starts; real ones never come near the demo.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}


@contextmanager
def demo_environment(folder: Path) -> Iterator[None]:
    """Credentials for the small server, and a home of its own for Prefect's ephemeral server."""
    home = {"PREFECT_HOME": str((folder / "prefect").resolve())}
    # Where a proxy is set, what is on this machine is not asked for through it.
    direct = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1", "localhost"]))
    wanted = {
        **CREDENTIALS,
        **home,
        "no_proxy": direct,
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 are few on a busy machine
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    before = {name: os.environ.get(name) for name in (*wanted, "AWS_PROFILE", "AWS_SESSION_TOKEN")}
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(wanted)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
