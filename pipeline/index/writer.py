"""The right to write, and where to: the lease, and the index.

Points remember the sequence of the run that wrote them, and a later one's are left alone. A state
that was restored from a copy, or begun anew beside a collection that was kept, would count from
where it stood, and all that it brings in would be passed over as older than what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings import Settings
from pipeline.state.lease import LeaseHandle
from pipeline.state.run_leases import hold_run_lease
from pipeline.state.store import Store

HoldLease = Callable[..., AbstractContextManager[LeaseHandle]]
"""As `hold_run_lease`, `hold_events_lease` and `hold_both_leases` are."""


@contextmanager
def writing(
    settings: Settings,
    store: Store,
    run_id: str,
    *,
    after_token: int,
    hold: HoldLease = hold_run_lease,
) -> Iterator[tuple[LeaseHandle, VectorIndex]]:
    """The lease that `hold` gives, with a sequence above that of the state and of every point in
    the index, and the index, whose changes look at the lease.

    Raises LeaseHeld, IndexUnavailable.
    """
    with (
        hold(store, settings.state, run_id, after_token=after_token) as lease,
        open_index(settings.index) as index,
    ):
        newest = index.newest_token(lease.fencing_token - 1)
        if newest < lease.fencing_token:
            yield lease, index.guarded(lease.in_time)
            return
    with (
        hold(store, settings.state, run_id, after_token=newest) as lease,
        open_index(settings.index) as index,
    ):
        yield lease, index.guarded(lease.in_time)
