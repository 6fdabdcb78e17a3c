"""The load of one committed shard into the index, in this process or as a task on a node of the
cluster. The same function does both, under the same lease.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Protocol

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.index.load import LoadReceipt, load_shard
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import ObjectOutcome, ShardReceipt
from pipeline.settings import Settings
from pipeline.state.lease import Lease
from pipeline.state.receipts import RunFolder, commit_load
from pipeline.state.segments import file_sha256, read_segments
from pipeline.state.store import Store, open_store
from pipeline.state.watched_lease import watched_lease


@dataclass(frozen=True, slots=True)
class ShardLoad:
    """What is to be loaded: of the shard's receipt the `outcomes` that this run takes. `lease` is
    that of `run`; `settings` have absolute paths where another machine may take them."""

    settings: Settings
    run: RunFolder
    receipt: ShardReceipt
    outcomes: tuple[ObjectOutcome, ...]
    lease: Lease


@dataclass(frozen=True, slots=True)
class LoadDone:
    """The load's receipt, and the seconds that it took where it was done: in all, and of each
    request that wrote segments."""

    receipt: LoadReceipt
    seconds: float
    upsert_seconds: tuple[float, ...] = ()


class HeldLease(Protocol):
    """As much of a lease as a load asks, whoever renews it."""

    def in_time(self) -> None: ...

    def confirm(self) -> None: ...


def load_committed(
    asked: ShardLoad, store: Store, index: VectorIndex, lease: HeldLease
) -> LoadDone:
    """Make a committed shard searchable, and keep a receipt of it where the shard is the run's own.
    May be repeated, and may be killed anywhere: ids and the flip are idempotent, and the receipt is
    made once.

    Raises LeaseLost, StateCorrupt, IndexUnavailable, StoreUnavailable.
    """
    lease.confirm()
    started = time.perf_counter()
    run, receipt = asked.run, asked.receipt
    requests: list[float] = []
    if receipt.data_file is None:
        done = load_shard(index, (), asked.outcomes, run.sequence, run.run_id)
    else:
        with store.local_copy(receipt.data_file) as path:
            if file_sha256(path) != receipt.data_sha256:
                raise StateCorrupt(
                    f"{receipt.data_file} is not what its receipt says.",
                    remedy="Remove its receipt and run again: its objects are embedded anew.",
                )
            rows = read_segments(path)
            done = load_shard(
                index, rows, asked.outcomes, run.sequence, run.run_id, on_upsert=requests.append
            )
    if receipt.sequence == run.sequence:
        loaded_by = {"process": f"{socket.gethostname()}:{os.getpid()}"}  # as the lease has it
        commit_load(store, run, receipt.shard, codec.to_json(done) | loaded_by)
    return LoadDone(done, time.perf_counter() - started, tuple(requests))


def load_as_task(asked: ShardLoad) -> LoadDone:
    """`load_committed` in a process that has neither store nor index open. The lease is watched:
    the task writes no longer than its run may. Raises as `load_committed` does."""
    settings = asked.settings
    store = open_store(settings.state.location, settings.source)
    with watched_lease(store, asked.lease) as lease, open_index(settings.index) as index:
        return load_committed(asked, store, index.guarded(lease.in_time), lease)
