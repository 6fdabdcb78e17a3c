"""Whatever a run starts listens on loopback alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.cli.demo_server import demo_server


def listeners() -> Iterator[tuple[str, str]]:
    """(process, address) of each listening socket of this process and all below it."""
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    yield process.name(), connection.laddr.ip
        except psutil.NoSuchProcess:
            continue


@pytest.mark.usefixtures("ray_running", "prefect_running")
def test_nothing_listens_to_the_network(tmp_path: Path) -> None:
    import ray

    @ray.remote
    def work() -> int:
        return 1

    with demo_server(tmp_path):
        assert ray.get(work.remote()) == 1
        found = list(listeners())
    names = {name for name, _ in found}
    assert {"gcs_server", "raylet", "weed"} <= names  # they are seen at all
    assert len(found) >= 5
    plain = [(name, ipaddress.ip_address(ip.removeprefix("::ffff:"))) for name, ip in found]
    assert [(name, ip) for name, ip in plain if not ip.is_loopback] == []
