"""Tests what keeps a decoding child from network and files: a child tries to get out, and tells."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.media.sandbox.client import start_job
from pipeline.media.sandbox.protocol import receive_facts
from pipeline.settings_embedding import DecodeSettings


@dataclass(frozen=True, slots=True)
class Confinement:
    """`namespace`, `seccomp` and `landlock` took hold or not; `connects` and `opens` are what came
    of a child's attempt at an address of this machine and at a file that is not its object."""

    namespace: bool
    seccomp: bool
    landlock: bool
    connects: bool
    opens: bool

    @property
    def means(self) -> tuple[str, ...]:
        """Those that took hold."""
        return tuple(n for n in ("namespace", "seccomp", "landlock") if getattr(self, n))


def confinement(settings: DecodeSettings) -> Confinement:
    """Starts a child as for an object. Raises BrokenWireError or OSError where none starts."""
    with (
        tempfile.TemporaryDirectory(prefix="sensedex-") as folder,
        socket.create_server(("127.0.0.1", 0)) as canary,
    ):
        for name in ("object", "other"):
            (Path(folder) / name).write_bytes(b"canary")
        attempt = {"port": canary.getsockname()[1], "file": str(Path(folder) / "other")}
        job = start_job(Path(folder) / "object", settings, **{"try": attempt})
        try:
            return Confinement(**receive_facts(job.read_into))
        finally:
            job.end(0.0)
