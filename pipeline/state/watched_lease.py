"""The lease of a run, seen from another process that does a part of its writing.

The run itself takes and renews it (`pipeline.state.lease`). Here it is only read, often enough to
know of a renewal before the end that was known before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SensedexError, StoreUnavailable
from pipeline.state.lease import Lease, LeaseLost, read_lease
from pipeline.state.store import Store


class WatchedLease:
    """Another process's lease, with the end that was read last."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    def in_time(self) -> None:
        """Call before each request that writes elsewhere: it asks nobody. Raises LeaseLost where
        the end that was read last has passed, by this machine's clock."""
        if self._lease.expires_at <= time.time():
            raise LeaseLost(
                f"The lease of run {self._lease.run_id} has run out, or is another's.",
                remedy="Nothing that is committed is lost: run again.",
            )

    def confirm(self) -> None:
        """Read it. Raises LeaseLost where it is another run's, was given back, or has run out."""
        now = read_lease(self._store)
        if now is None or not now.same_as(self._lease):
            raise LeaseLost(
                f"Run {self._lease.run_id} has lost its lease"
                + (f" to run {now.run_id} on {now.holder}." if now else "."),
                remedy="Nothing that is committed is lost: run again.",
            )
        self._lease = now
        self.in_time()

    def seconds_left(self) -> float:
        return self._lease.expires_at - time.time()


@contextmanager
def watched_lease(store: Store, lease: Lease) -> Iterator[WatchedLease]:
    """The lease as it is now, read again in the background until the context ends.

    Raises LeaseLost at once where it is not that run's any more; later, `in_time` says so.
    """
    watched = WatchedLease(store, lease)
    watched.confirm()
    done = threading.Event()

    def look() -> None:
        while not done.wait(max(0.1, watched.seconds_left() / 4)):
            try:
                watched.confirm()
            except StoreUnavailable:
                continue  # there are more looks before the end
            except SensedexError:
                return  # `in_time` raises once the end that is known has passed

    thread = threading.Thread(target=look, daemon=True, name="sensedex-lease-watch")
    thread.start()
    try:
        yield watched
    finally:
        done.set()
        thread.join(timeout=10)
