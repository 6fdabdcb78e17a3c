"""Keep a scheduled run at work where Prefect's server has forgotten the run's concurrency slot.

A slot is lent for five minutes and renewed by the run's process. The server keeps who has which in
its memory, so that after a restart the next renewal is refused, and Prefect's engine then stops the
run: some minutes later, in the middle of its work. For our runs the slot only saves waiting: that
no two of them write is what the lease in the state location is for (pipeline.state.lease). So a run
that lost its slot says so once, and goes on; it gives the slot back at its end all the same.

Prefect has no setting for this. The one function that is replaced, while the run is at work, is
private to Prefect; tests/flows/test_slots.py fails where it is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.concurrency import _leases
from prefect.exceptions import ObjectNotFound

RENEW = "_renew_concurrency_lease_with_retries"
TRY_AGAIN_S = 10.0


@contextmanager
def run_outlives_its_slot(say: Callable[[str], None]) -> Iterator[None]:
    """`say` is told once, in a sentence, when the slot is lost."""
    before: Any = getattr(_leases, RENEW, None)
    if before is None:
        yield
        return
    told = threading.Event()

    def renew(
        client: SyncPrefectClient, lease_id: UUID, lease_duration: float, stop: threading.Event
    ) -> bool:
        """Renew, however long the server is away. False where the run ended meanwhile."""
        while not stop.is_set():
            try:
                client.renew_concurrency_lease(lease_id=lease_id, lease_duration=lease_duration)
            except (httpx.HTTPStatusError, ObjectNotFound) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.is_server_error:
                    stop.wait(TRY_AGAIN_S)
                    continue
                if not told.is_set():
                    told.set()
                    say(
                        "Prefect's server no longer knows this run's concurrency slot, as after a "
                        "restart. The run goes on under its own lease."
                    )
            except httpx.HTTPError:
                stop.wait(TRY_AGAIN_S)
                continue
            return True
        return False

    setattr(_leases, RENEW, renew)
    try:
        yield
    finally:
        setattr(_leases, RENEW, before)
