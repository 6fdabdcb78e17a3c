"""One writer a collection: `lease.json`, taken and renewed by conditional writes; for event runs
`events-lease.json`, in the same way (`pipeline.state.run_leases` has how the two go together).

Every taking has a larger fencing token than the one before, stored as `sequence`, so that a writer
that was thought dead can be told from its successor (Kleppmann, Designing Data-Intensive
Applications, chapter 8). A lease ends by itself when it is not renewed; one whose process died
on this same machine may be taken at once.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline import codec
from pipeline.errors import LeaseHeld, SensedexError, StateCorrupt, StoreUnavailable
from pipeline.settings import StateSettings
from pipeline.state.store import AlreadyThere, Store, VersionConflict

LEASE = "lease.json"
EVENTS_LEASE = "events-lease.json"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write. `sequence` is the fencing token; `expires_at` is seconds since 1970, 0 once
    released; `process` tells this process from every other one that this machine ever ran."""

    sequence: int
    run_id: str
    holder: str
    process: str
    expires_at: float

    def same_as(self, other: Lease) -> bool:
        return (self.sequence, self.run_id) == (other.sequence, other.run_id)


def lease_bytes(lease: Lease) -> bytes:
    """The lease as it is stored: JSON with its keys in order."""
    return codec.to_bytes(lease, sort_keys=True)


class LeaseLost(LeaseHeld):
    """The lease was ours, and another run has taken it since. The same call cannot succeed any
    more; another run can."""

    retryable = False
    default_code = "lease_lost"


def read_lease(store: Store, file: str = LEASE) -> Lease | None:
    """The lease as it is stored; None before the first one. Raises StateCorrupt."""
    found = store.read(file)
    return None if found is None else _parsed(store, found.data, file)


def acquire(
    store: Store, run_id: str, ttl_s: float, *, after_token: int = 0, file: str = LEASE
) -> Lease:
    """Take the lease; its fencing token is larger than the last one's and than `after_token`.

    Raises LeaseHeld that names who has it, and until when.
    """
    for _ in range(3):
        found = store.read(file)
        last = None if found is None else _parsed(store, found.data, file)
        if last is not None and not is_free(last):
            raise _held_by(last)
        sequence = max(after_token, 0 if last is None else last.sequence) + 1
        lease = Lease(sequence, run_id, _holder(), _process(os.getpid()), time.time() + ttl_s)
        try:
            if found is None:
                store.create(file, lease_bytes(lease))
            else:
                store.replace(file, lease_bytes(lease), found.version)
        except (AlreadyThere, VersionConflict):
            # Another was first; or we were, and a lost answer made the client send it twice.
            if _is_ours(store, lease, file):
                return lease
        else:
            return lease
    raise LeaseHeld("Several runs are asking for the lease at once.", remedy="Run again.")


def renew(store: Store, lease: Lease, ttl_s: float, file: str = LEASE) -> Lease:
    """Put the end off to `ttl_s` from now. Raises LeaseLost."""
    renewed = replace(lease, expires_at=time.time() + ttl_s)
    for _ in range(3):
        found = store.read(file)
        now = None if found is None else _parsed(store, found.data, file)
        if found is None or now is None or not now.same_as(lease) or now.expires_at == 0:
            break  # a released lease stays released
        try:
            store.replace(file, lease_bytes(renewed), found.version)
        except VersionConflict:
            continue
        return renewed
    raise _lost(store, lease, file)


def release(store: Store, lease: Lease, file: str = LEASE) -> None:
    """Let the next run begin at once. The token stays; a lease that is lost stays another's."""
    found = store.read(file)
    if found is None or not _parsed(store, found.data, file).same_as(lease):
        return
    try:
        released = replace(lease, expires_at=0.0)
        store.replace(file, lease_bytes(released), found.version)
    except VersionConflict:
        return


class LeaseHandle:
    """A lease that is ours, with its renewals as they come."""

    def __init__(self, store: Store, lease: Lease, file: str = LEASE) -> None:
        self._store = store
        self._lease = lease
        self._file = file

    @property
    def fencing_token(self) -> int:
        """What every write is conditional on: a later writer's is larger."""
        return self._lease.sequence

    @property
    def run_id(self) -> str:
        return self._lease.run_id

    @property
    def stored(self) -> Lease:
        """As it was renewed last."""
        return self._lease

    def renew(self, ttl_s: float) -> None:
        """Raises LeaseLost."""
        self._lease = renew(self._store, self._lease, ttl_s, self._file)

    def in_time(self) -> None:
        """Call before each request that writes elsewhere: it asks nobody, and so costs nothing.

        Raises LeaseLost where the last renewal has run out, as for a process that slept.
        """
        if self._lease.expires_at <= time.time():
            raise _lost(self._store, self._lease, self._file)

    def confirm(self) -> None:
        """Call before each commit. Raises LeaseLost where the stored lease is no longer ours."""
        still_held(self._store, self._lease, self._file)

    def release(self) -> None:
        release(self._store, self._lease, self._file)


def still_held(store: Store, lease: Lease, file: str = LEASE) -> None:
    """Raises LeaseLost where the stored lease is another's, or has run out."""
    now = read_lease(store, file)
    if now is None or not now.same_as(lease) or now.expires_at <= time.time():
        raise _lost(store, lease, file)


@contextmanager
def hold_lease(
    store: Store,
    settings: StateSettings,
    run_id: str,
    *,
    after_token: int = 0,
    file: str = LEASE,
) -> Iterator[LeaseHandle]:
    """Hold the lease, renewed in the background, until the context ends. Raises LeaseHeld.

    The background only renews: whether the lease is still ours, `LeaseHandle` says.
    """
    ttl_s = float(settings.lease_ttl_s)
    taken = acquire(store, run_id, ttl_s, after_token=after_token, file=file)
    lease = LeaseHandle(store, taken, file)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(ttl_s / 4):
            try:
                lease.renew(ttl_s)
            except StoreUnavailable:
                continue  # three more tries fit in before the lease runs out
            except SensedexError:
                return  # lost: the next `confirm` or `in_time` stops the run

    heartbeat = threading.Thread(target=keep, daemon=True, name="sensedex-lease")
    heartbeat.start()
    try:
        yield lease
    finally:
        done.set()
        heartbeat.join(timeout=10)
        # A lease that cannot be given back ends by itself; the run's own end is what counts.
        with suppress(StoreUnavailable):
            lease.release()


def is_free(lease: Lease) -> bool:
    """Whether the lease has run out, or its process is known to be dead."""
    return lease.expires_at <= time.time() or _is_dead(lease)


def _is_dead(lease: Lease) -> bool:
    """Only of a process of this machine, this boot and this pid namespace can that be known."""
    host, _, pid = lease.holder.rpartition(":")
    here = _process(os.getpid()).rpartition("/")[0]
    if host != socket.gethostname() or not here or lease.process.rpartition("/")[0] != here:
        return False
    return _process(int(pid)) != lease.process


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _process(pid: int) -> str:
    """boot / pid namespace / start of the process; empty where /proc does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""
    try:
        # The name, in brackets, may hold anything; what follows it: state, then 18 fields, start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return f"{boot}/{namespace}/gone"
    started = "gone" if fields[0] in "ZX" else fields[19]
    return f"{boot}/{namespace}/{started}"


def _is_ours(store: Store, lease: Lease, file: str) -> bool:
    found = store.read(file)
    return found is not None and found.data == lease_bytes(lease)


def _parsed(store: Store, data: bytes, file: str) -> Lease:
    try:
        return codec.from_bytes(Lease, data)
    except ValueError as error:
        raise StateCorrupt(
            f"{file} in {store.location} is not a lease: {error}.",
            remedy=f"If nothing else is running, remove {file}.",
        ) from error


def _held_by(lease: Lease) -> LeaseHeld:
    until = datetime.fromtimestamp(lease.expires_at, UTC).isoformat(timespec="seconds")
    return LeaseHeld(
        f"Run {lease.run_id} on {lease.holder} writes this collection; its lease ends at {until} "
        "unless it is renewed.",
        remedy="Wait for that run, or stop it.",
    )


def _lost(store: Store, lease: Lease, file: str) -> LeaseLost:
    now = read_lease(store, file)
    by = f"run {now.run_id} on {now.holder}" if now and not now.same_as(lease) else "time"
    return LeaseLost(
        f"Run {lease.run_id} has lost its lease to {by}.",
        remedy="Nothing that is committed is lost: run again.",
    )
