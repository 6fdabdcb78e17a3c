"""A decoding child reaches neither network nor files, by each means of the kernel for itself."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import doctor
from pipeline.media.sandbox import kernel
from pipeline.media.sandbox.self_test import Confinement, confinement
from pipeline.settings_embedding import DecodeSettings


def in_fork(work: Callable[[], bool]) -> bool | None:
    """What `work` says in a process of its own; None where it died."""
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {0: True, 1: False}.get(status)


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def opens(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


@pytest.mark.server
def test_what_a_child_can_reach() -> None:
    """On a kernel with any of the means, nothing; a child that gets out is told, not hidden."""
    found = confinement(DecodeSettings())
    assert found.connects == (not (found.namespace or found.seccomp))
    assert found.opens == (not found.landlock)


@pytest.mark.server
@pytest.mark.parametrize("means", [kernel.leave_network, kernel.forbid_sockets])
def test_no_address_can_be_reached(means: Callable[[], bool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        port = canary.getsockname()[1]

        def work() -> bool:
            kernel.no_new_privileges()
            return not means() or not connects(port)

        assert connects(port)
        assert in_fork(work)


def test_only_the_named_files_can_be_opened(tmp_path: Path) -> None:
    for name in ("object", "other"):
        (tmp_path / name).write_bytes(b"1")

    def work() -> bool:
        kernel.no_new_privileges()
        if not kernel.open_only([tmp_path / "object", tmp_path / "nothing"]):
            return True
        return opens(tmp_path / "object") and not opens(tmp_path / "other")

    assert in_fork(work)


def test_what_is_started_is_confined_too(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"1")

    def work() -> bool:
        kernel.no_new_privileges()
        held = kernel.open_only([Path("/usr"), Path("/lib"), Path("/lib64"), Path("/bin")])
        done = subprocess.run(["/bin/cat", tmp_path / "other"], capture_output=True, check=False)
        return not held or done.returncode != 0

    assert in_fork(work)


@pytest.mark.server
def test_without_root(tmp_path: Path) -> None:
    """The same for a user who may do nothing."""
    if os.getuid() != 0:
        pytest.skip("these tests do not run as root: the others show it")
    (tmp_path / "other").write_bytes(b"1")
    with socket.create_server(("127.0.0.1", 0)) as canary:
        port = canary.getsockname()[1]

        def work() -> bool:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            kernel.leave_network()
            kernel.no_new_privileges()
            held = kernel.open_only([Path("/usr")]) and kernel.forbid_sockets()
            return not held or not (connects(port) or opens(tmp_path / "other"))

        assert in_fork(work)


@pytest.mark.server
def test_doctor_says_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    found = confinement(DecodeSettings())
    said = doctor.child_finding(DecodeSettings())
    held = not (found.connects or found.opens)
    assert said.verdict == ("ok" if held else "warn")
    assert found.means or not held
    assert all(means in said.detail for means in found.means)
    # A kernel, or a container's rules, that have none of it.
    loose = Confinement(False, False, False, connects=True, opens=True)
    monkeypatch.setattr(doctor, "confinement", lambda _: loose)
    said = doctor.child_finding(DecodeSettings())
    assert said.verdict == "warn"
    assert "reaches the network" in said.detail
    assert "docs/security.md" in said.remedy
