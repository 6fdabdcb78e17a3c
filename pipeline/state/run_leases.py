"""Leases of whole runs and of event runs, whose fencing tokens come from one order.

A whole run holds `lease.json` for hours, an event run `events-lease.json` for seconds, and neither
waits for the other's end: whatever they write is conditional on their tokens, of which no two runs
have the same. Each takes one above both leases as they are stored, and then looks at the other's
again: where that has come to be as high meanwhile, it gives its own back and takes a higher one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pipeline.errors import LeaseHeld
from pipeline.settings import StateSettings
from pipeline.state.lease import EVENTS_LEASE, LEASE, LeaseHandle, hold_lease, is_free, read_lease
from pipeline.state.store import Store

LOOK_EVERY_S = 0.2
TRIES = 10


@contextmanager
def hold_run_lease(
    store: Store, settings: StateSettings, run_id: str, *, after_token: int = 0
) -> Iterator[LeaseHandle]:
    """The lease of whole runs; event runs may be at work beside it. Raises LeaseHeld."""
    with _in_order(store, settings, run_id, after_token, LEASE, EVENTS_LEASE) as lease:
        yield lease


@contextmanager
def hold_events_lease(
    store: Store, settings: StateSettings, run_id: str, *, after_token: int = 0
) -> Iterator[LeaseHandle]:
    """The lease of event runs; a whole run may be at work beside it. Raises LeaseHeld."""
    with _in_order(store, settings, run_id, after_token, EVENTS_LEASE, LEASE) as lease:
        yield lease


@contextmanager
def hold_both_leases(
    store: Store, settings: StateSettings, run_id: str, *, after_token: int = 0
) -> Iterator[LeaseHandle]:
    """The lease of whole runs, and no event run at work: for who compares everything, or shows
    readers another collection. An event run that is at work is waited for. Raises LeaseHeld."""
    with ExitStack() as held:
        lease = held.enter_context(hold_run_lease(store, settings, run_id, after_token=after_token))
        until = time.monotonic() + 2 * settings.lease_ttl_s
        while True:
            try:
                held.enter_context(hold_lease(store, settings, run_id, file=EVENTS_LEASE))
                break
            except LeaseHeld:
                if time.monotonic() >= until:
                    raise
            time.sleep(LOOK_EVERY_S)
        yield lease


@contextmanager
def _in_order(
    store: Store, settings: StateSettings, run_id: str, after_token: int, own: str, other: str
) -> Iterator[LeaseHandle]:
    # Of two that meet, the one that jumps further is the higher one next time.
    jump = 1 if own == LEASE else 2
    for tried in range(TRIES):
        beside = read_lease(store, other)
        after = max(after_token, 0 if beside is None else beside.sequence)
        after += jump - 1 if tried else 0
        with hold_lease(store, settings, run_id, after_token=after, file=own) as lease:
            beside = read_lease(store, other)
            if beside is None or beside.sequence < lease.fencing_token:
                yield lease
                return
    raise LeaseHeld("Runs and event runs are asking for their leases at once.", remedy="Run again.")


def wait_for_earlier_events(
    store: Store, token: int, wait: Callable[[float], None] = time.sleep
) -> None:
    """Until no event run with a lower token is at work: its rows are in the state then, or it was
    killed. One that begins meanwhile has a higher token, and is not waited for."""
    while True:
        lease = read_lease(store, EVENTS_LEASE)
        if lease is None or lease.sequence > token or is_free(lease):
            return
        wait(LOOK_EVERY_S)
