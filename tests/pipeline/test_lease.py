"""One writer: taken, renewed, lost, and taken over from the dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import codec
from pipeline.errors import LeaseHeld, StateCorrupt
from pipeline.settings import StateSettings
from pipeline.state import lease as lease_module
from pipeline.state.lease import (
    LEASE,
    Lease,
    LeaseLost,
    acquire,
    hold_lease,
    lease_bytes,
    release,
    renew,
    still_held,
)
from pipeline.state.store import FolderStore, Store, open_store
from tests.support.s3_server import S3Server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FolderStore(tmp_path)


def stored(store: Store) -> Lease:
    found = store.read(LEASE)
    assert found is not None
    return codec.from_bytes(Lease, found.data)


def put(store: Store, lease: Lease) -> None:
    store.delete(LEASE)
    store.create(LEASE, lease_bytes(lease))


def test_the_second_is_told_who_and_until_when(store: Store) -> None:
    first = acquire(store, "run-1", 60)
    assert first.sequence == 1
    with pytest.raises(LeaseHeld, match="run-1") as told:
        acquire(store, "run-2", 60)
    assert f"{socket.gethostname()}:{os.getpid()}" in told.value.message
    assert "+00:00" in told.value.message
    assert told.value.retryable
    release(store, first)
    assert acquire(store, "run-2", 60).sequence == 2


def test_in_a_bucket_too(s3_server: S3Server) -> None:
    store = open_store("s3://media/state", s3_server.settings())
    with hold_lease(store, StateSettings(), "run-1") as lease:
        lease.confirm()
        with pytest.raises(LeaseHeld, match="run-1"):
            acquire(store, "run-2", 60)
    assert acquire(store, "run-2", 60).sequence == 2


def test_a_lease_that_ran_out_is_taken_and_the_late_one_is_told(store: Store) -> None:
    late = acquire(store, "late", 60)
    put(store, replace(late, expires_at=time.time() - 1))
    with pytest.raises(LeaseLost, match="time"):
        still_held(store, late)
    new = acquire(store, "new", 60)
    assert new.sequence == late.sequence + 1
    for act in (lambda: still_held(store, late), lambda: renew(store, late, 60)):
        with pytest.raises(LeaseLost, match="run new on"):
            act()
    release(store, late)  # does nothing to another's lease
    still_held(store, new)


def test_renewing_puts_the_end_off_but_not_after_the_release(store: Store) -> None:
    lease = acquire(store, "run", 10)
    assert renew(store, lease, 1000).expires_at > lease.expires_at
    still_held(store, lease)
    release(store, lease)
    with pytest.raises(LeaseLost):
        renew(store, lease, 10)
    assert stored(store).sequence == 1


def test_the_sequence_is_beyond_the_state_s(store: Store) -> None:
    assert acquire(store, "run", 10, after_token=41).sequence == 42


def test_a_killed_process_of_this_machine_does_not_make_one_wait(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from pipeline.state.lease import acquire\n"
        "from pipeline.state.store import FolderStore\n"
        "acquire(FolderStore(pathlib.Path(sys.argv[1])), 'killed', 3600)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    store = FolderStore(tmp_path)
    with pytest.raises(LeaseHeld, match="killed"):
        acquire(store, "next", 60)
    child.kill()
    # Not waited for yet: a zombie holds no lease either.
    deadline = time.monotonic() + 20
    while True:
        try:
            assert acquire(store, "next", 60).sequence == 2
            break
        except LeaseHeld:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    child.communicate()


def test_a_pid_that_was_given_out_again_is_another_process(store: Store) -> None:
    mine = acquire(store, "old", 3600)
    put(store, replace(mine, process=mine.process.rpartition("/")[0] + "/1"))
    assert acquire(store, "new", 60).sequence == 2


@pytest.mark.parametrize("process", ["", "another-boot/pid:[1]/5"])
def test_of_another_machine_nothing_is_known(store: Store, process: str) -> None:
    mine = acquire(store, "far", 3600)
    put(store, replace(mine, holder=f"{socket.gethostname()}:999999999", process=process))
    with pytest.raises(LeaseHeld):
        acquire(store, "new", 60)
    put(store, replace(mine, holder="elsewhere:999999999"))
    with pytest.raises(LeaseHeld, match="elsewhere"):
        acquire(store, "new", 60)


def test_held_renews_in_the_background(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[float] = []

    def noted(store: Store, lease: Lease, ttl_s: float, *file: str) -> Lease:
        done = renew(store, lease, ttl_s, *file)
        renewed.append(done.expires_at)
        return done

    monkeypatch.setattr(lease_module, "renew", noted)
    settings = StateSettings.model_construct(lease_ttl_s=1)
    with hold_lease(store, settings, "run") as lease:
        deadline = time.monotonic() + 30
        while len(renewed) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lease.confirm()
    assert stored(store).expires_at == 0


def test_held_gives_back_also_after_an_error(store: Store) -> None:
    with pytest.raises(KeyError), hold_lease(store, StateSettings(), "run"):
        raise KeyError
    assert stored(store).expires_at == 0


def test_a_lost_answer_does_not_lock_oneself_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write got through, its answer did not, and the client's second try meets the first."""
    create = store.create

    def twice(name: str, data: bytes) -> str:
        create(name, data)
        return create(name, data)

    monkeypatch.setattr(store, "create", twice)
    assert acquire(store, "run", 60).sequence == 1


def test_a_lease_that_cannot_be_read(store: Store) -> None:
    store.create(LEASE, b"{}")
    with pytest.raises(StateCorrupt, match=r"lease\.json"):
        acquire(store, "run", 60)
