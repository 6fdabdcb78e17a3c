"""The demo's S3 server: what was put into it stays, it ends with who started it, and several of
them stand side by side."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.cli import demo_server as module
from flows.cli.demo_bucket import Sync, sync_bucket
from flows.cli.demo_server import DemoServer, demo_server, find_weed
from pipeline.errors import LeaseHeld, SettingsError, StoreUnavailable
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import SourceSettings

pytestmark = pytest.mark.server

HOLDS_ONE = """
import sys, time
from pathlib import Path
from flows.cli.demo_bucket import sync_bucket
from flows.cli.demo_server import demo_server
from pipeline.settings import SourceSettings

with demo_server(Path(sys.argv[1])) as server:
    source = SourceSettings(bucket="demo", endpoint_url=server.url)
    sync_bucket(source, Path(sys.argv[2]))
    print(server.pid, flush=True)
    time.sleep(600)
"""


def source_of(server: DemoServer) -> SourceSettings:
    return SourceSettings(bucket="demo", endpoint_url=server.url)


def keys(server: DemoServer) -> list[str]:
    client = s3.make_client(source_of(server))
    return [obj.key for obj in list_pages(client, "demo", "")]


def counts(sync: Sync) -> tuple[int, int, int]:
    return sync.objects, sync.put, sync.deleted


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for name, content in {"a.jpg": b"a", "deep/er/b.ogg": b"bb", "empty.mp4": b""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_was_put_stays(tmp_path: Path, media: Path) -> None:
    with demo_server(tmp_path / "s3") as server:
        assert counts(sync_bucket(source_of(server), media)) == (3, 3, 0)
    assert not psutil.pid_exists(server.pid)
    (media / "a.jpg").write_bytes(b"other")
    (media / "empty.mp4").unlink()
    with demo_server(tmp_path / "s3") as server:
        assert keys(server) == ["a.jpg", "deep/er/b.ogg", "empty.mp4"]
        assert counts(sync_bucket(source_of(server), media)) == (2, 1, 1)
        assert counts(sync_bucket(source_of(server), media)) == (2, 0, 0)
        assert keys(server) == ["a.jpg", "deep/er/b.ogg"]


def test_it_counts_the_gets_of_objects(tmp_path: Path, media: Path) -> None:
    with demo_server(tmp_path / "s3") as server:
        sync_bucket(source_of(server), media)
        client = s3.make_client(source_of(server))
        assert server.object_gets("demo") == 0  # listing and writing are none
        assert s3.get_bytes(client, "demo", "a.jpg") is not None
        assert s3.get_bytes(client, "demo", "deep/er/b.ogg") is not None
        keys(server)
        assert server.object_gets("demo") == 2
        assert server.object_gets("another") == 0


@pytest.mark.parametrize("killed", ["who started it", "the server"])
def test_killed(tmp_path: Path, media: Path, root_dir: Path, killed: str) -> None:
    """No process stays, and the next server has what was put."""
    command = [sys.executable, "-c", HOLDS_ONE, str(tmp_path / "s3"), str(media)]
    with subprocess.Popen(command, cwd=root_dir, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert psutil.Process(pid).name() == "weed"
        if killed == "the server":
            os.kill(pid, signal.SIGKILL)
        holder.kill()
    until = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    with demo_server(tmp_path / "s3") as server:
        assert counts(sync_bucket(source_of(server), media)) == (3, 0, 0)
        client = s3.make_client(source_of(server))
        found = s3.get_bytes(client, "demo", "deep/er/b.ogg")
    assert found is not None
    assert found[0] == b"bb"


def test_two_side_by_side_and_one_a_folder(tmp_path: Path, media: Path) -> None:
    with demo_server(tmp_path / "one") as one, demo_server(tmp_path / "two") as two:
        sync_bucket(source_of(one), media)
        sync_bucket(source_of(two), media / "deep")
        assert keys(one) == ["a.jpg", "deep/er/b.ogg", "empty.mp4"]
        assert keys(two) == ["er/b.ogg"]
        with pytest.raises(LeaseHeld, match=f"at work in {tmp_path / 'one'}"):
            demo_server(tmp_path / "one").__enter__()


def test_a_port_that_was_taken_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = module._free_ports
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = {"s3.port": other.getsockname()[1]}
        answers = iter([{**choose(), **taken}])
        monkeypatch.setattr(module, "_free_ports", lambda: next(answers, None) or choose())
        with demo_server(tmp_path) as server:
            assert server.is_running()
            assert next(answers, None) is None  # the taken one was tried
        monkeypatch.setattr(module, "_free_ports", lambda: {**choose(), **taken})
        with pytest.raises(StoreUnavailable, match="did not start"), demo_server(tmp_path):
            pass


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weed().is_file()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_weed().is_file()  # beside the interpreter
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(module.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(SettingsError, match="no program weed"), demo_server(tmp_path / "s3"):
        pass
    assert not (tmp_path / "s3").exists()
