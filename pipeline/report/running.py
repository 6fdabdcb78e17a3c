"""The run that is at work, or was when it ended, by what its state says: progress and lease. The
same of the event run, which has its own of both.

Another machine may ask, with no more than a right to read the state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.progress import Stage
from pipeline.records import Status
from pipeline.state.lease import EVENTS_LEASE, Lease, is_free, read_lease
from pipeline.state.run_progress import (
    EVENTS_PROGRESS,
    WHOLE,
    StageDone,
    StoredProgress,
    read_progress,
)
from pipeline.state.store import Store

UNWANTED = (Status.FAILED, Status.DENIED, Status.REJECTED)


class RunningState(StrEnum):
    """`dead`: it has not said how it ended, and its lease is free or another's."""

    RUNNING = "running"
    DEAD = "dead"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunningRun:
    """`told_seconds_ago` is the age of what is known. `seconds_left` is None where it cannot be
    told yet; `binding_stage` is the one whose workers are busiest, for `binding_share` of the time
    since the encoder was there. `failed_by` is the code of the error that ended the run. `events`:
    it does what event notifications have told, and is over in seconds."""

    state: RunningState
    run_id: str
    holder: str
    started_at: str
    told_seconds_ago: float
    phase: str
    total_objects: int
    stages: Mapping[str, StageDone]
    shards: Mapping[str, int]
    objects_by_status: Mapping[str, int]
    retries: Mapping[str, int]
    objects_per_second: float
    media_seconds_per_second: float
    seconds_left: float | None
    binding_stage: str
    binding_share: float
    failed_by: str
    events: bool = False

    @property
    def failures(self) -> int:
        """Objects that did not get in, so far."""
        return sum(self.objects_by_status.get(status, 0) for status in UNWANTED)


def read_running(store: Store) -> RunningRun | None:
    """None where the last run that wrote came to its end, or none ever did. Raises StateCorrupt,
    StoreUnavailable."""
    progress, lease = read_progress(store), read_lease(store)
    if progress is None or progress.ended == WHOLE:
        return None
    return _running(progress, lease, time.time())


def read_running_events(store: Store) -> RunningRun | None:
    """The same of the last event run."""
    progress, lease = read_progress(store, EVENTS_PROGRESS), read_lease(store, EVENTS_LEASE)
    if progress is None or progress.ended == WHOLE:
        return None
    return replace(_running(progress, lease, time.time()), events=True)


def _running(progress: StoredProgress, lease: Lease | None, now: float) -> RunningRun:
    own = lease is not None and (lease.sequence, lease.run_id) == (
        progress.sequence,
        progress.run_id,
    )
    if progress.ended:
        state = RunningState.FAILED
    elif lease is None or not own or is_free(lease):
        state = RunningState.DEAD
    else:
        state = RunningState.RUNNING
    stage, share = _binding(progress)
    written = progress.stages.get(Stage.WRITE)
    left = progress.total_objects - (written.objects if written else 0)
    rate = progress.objects_per_second
    return RunningRun(
        state=state,
        run_id=progress.run_id,
        holder=lease.holder if lease is not None and own else "",
        started_at=progress.started_at,
        told_seconds_ago=round(max(0.0, now - progress.written_at), 1),
        phase=progress.phase,
        total_objects=progress.total_objects,
        stages=progress.stages,
        shards=progress.shards,
        objects_by_status=progress.objects_by_status,
        retries=progress.retries,
        objects_per_second=rate,
        media_seconds_per_second=progress.media_seconds_per_second,
        seconds_left=round(left / rate) if state is RunningState.RUNNING and rate else None,
        binding_stage=stage,
        binding_share=share,
        failed_by=progress.ended,
    )


def _binding(progress: StoredProgress) -> tuple[str, float]:
    seconds = progress.embedding_seconds
    shares = {
        name: done.busy_seconds / max(1, done.workers) for name, done in progress.stages.items()
    }
    if not shares or not seconds:
        return "", 0.0
    busiest = max(shares, key=lambda name: shares[name])
    return busiest, round(min(1.0, shares[busiest] / seconds), 3)
