"""A real Qdrant, where there is one to test with: named by SENSEDEX_TEST_QDRANT_URL (and
SENSEDEX_TEST_QDRANT_GRPC_PORT), or started from SENSEDEX_TEST_QDRANT_BIN, one node or three.

What a test leaves in it is dropped by the next; so a server that is named has to be empty at first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

from qdrant_client import QdrantClient

from tests.support.free_port import free_port

LONGEST_START_S = 60.0


def named_url() -> str:
    """The address of a server that somebody else runs; empty where none is named."""
    return os.environ.get("SENSEDEX_TEST_QDRANT_URL", "")


def named_grpc_port() -> int:
    return int(os.environ.get("SENSEDEX_TEST_QDRANT_GRPC_PORT", "6334"))


def named_binary() -> Path | None:
    """The program to start; None where none is named."""
    named = os.environ.get("SENSEDEX_TEST_QDRANT_BIN")
    return Path(named) if named else None


@dataclass
class QdrantNode:
    """A server of its own process, on disk, that can be killed, stopped and started again."""

    binary: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    first_peer: str = ""
    clustered: bool = False
    tls: Path | None = None
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.http_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self) -> None:
        """Returns when it is ready; does nothing where it runs already."""
        if self.process is not None and self.process.poll() is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "--disable-telemetry", *self._joining()],
                cwd=self.folder,
                env={**os.environ, **self._settings(), **self.environment},
                stdout=log,
                stderr=log,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        until = time.monotonic() + LONGEST_START_S
        while not self._ready():
            if time.monotonic() > until or self.process is None or self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def hold(self) -> None:
        """It neither answers nor refuses until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _ready(self) -> bool:
        try:
            trusted = ssl.create_default_context(cafile=self.tls) if self.tls else None
            ready = f"{self.url}/readyz"
            with urllib.request.urlopen(ready, timeout=1, context=trusted) as answer:
                # It listens for gRPC in a thread of its own, which may come a moment later.
                socket.create_connection(("127.0.0.1", self.grpc_port), timeout=1).close()
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _joining(self) -> list[str]:
        if not self.clustered:
            return []
        first = ["--bootstrap", self.first_peer] if self.first_peer else []
        return ["--uri", self.peer_url, *first]

    def _settings(self) -> dict[str, str]:
        return {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.http_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__SERVICE__ENABLE_STATIC_CONTENT": "false",
            "QDRANT__CLUSTER__ENABLED": str(self.clustered).lower(),
            "QDRANT__CLUSTER__P2P__PORT": str(self.peer_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.folder / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            "QDRANT__STORAGE__TEMP_PATH": str(self.folder / "tmp"),
        }


class QdrantNodes:
    """One node, or a cluster of them; `nodes[0]` is spoken to."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        count: int = 1,
        *,
        tls: Path | None = None,
        **environment: str,
    ) -> None:
        self.nodes: list[QdrantNode] = []
        for number in range(count):
            node = QdrantNode(
                binary,
                folder / f"node-{number}",
                environment,
                clustered=count > 1,
                tls=tls,
                first_peer=self.nodes[0].peer_url if self.nodes else "",
            )
            node.start()
            self.nodes.append(node)
        self._wait_for_peers()

    def _wait_for_peers(self) -> None:
        until = time.monotonic() + LONGEST_START_S
        while len(self.nodes) > 1 and any(self._peers(n) < len(self.nodes) for n in self.nodes):
            assert time.monotonic() < until, "the nodes do not find one another"
            time.sleep(0.1)

    @staticmethod
    def _peers(node: QdrantNode) -> int:
        with urllib.request.urlopen(f"{node.url}/cluster", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)["result"]
        return len(found.get("peers", {})) if found.get("raft_info", {}).get("leader") else 0

    def close(self) -> None:
        for node in self.nodes:
            node.kill()


def emptied(url: str, *, look_only: bool = False) -> None:
    """Drop all collections; with `look_only`, raises where there are any."""
    client = QdrantClient(url=url, timeout=60, check_compatibility=False)
    try:
        found = [collection.name for collection in client.get_collections().collections]
        if look_only and found:
            raise AssertionError(f"{url} is not empty: {found}. Tests drop what is there.")
        for name in found:
            client.delete_collection(name)
    finally:
        client.close()
