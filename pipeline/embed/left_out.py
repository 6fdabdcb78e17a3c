"""Objects that are given up, since they were in the way of too many deaths: how they end."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.embed.attempts import MOST_KILLS
from pipeline.records import Failure, ObjectOutcome, PlanRow, ShardReceipt, Status
from pipeline.state.receipts import RunFolder


def killed_workers(stage: str) -> Failure:
    """Why an object is failed at that stage."""
    return Failure(
        stage,
        "kills_worker",
        True,
        f"{MOST_KILLS} workers died while they had this object.",
        "Where memory ran out, Ray's log or the system's says so: lower encode.batch_size or "
        "decode.processes, or give the nodes more; then `sensedex retry`.",
    )


def failed_outcome(row: PlanRow, failure: Failure) -> ObjectOutcome:
    """The planned object, ended without a window."""
    obj = row.object
    return ObjectOutcome(
        obj.key,
        row.asset_id,
        row.generation,
        obj.etag,
        obj.version_id,
        obj.size_bytes,
        Status.FAILED,
        failure=failure,
        sidecars=tuple(sidecar.key for sidecar in row.sidecars),
        bucket=obj.bucket,
    )


def failed_shard(
    run: RunFolder, shard: int, rows: Iterable[PlanRow], failure: Failure
) -> ShardReceipt:
    """A receipt for a shard that could not be embedded; it has no data."""
    outcomes = [failed_outcome(row, failure) for row in rows]
    outcomes.sort(key=lambda outcome: (outcome.bucket, outcome.key))
    return ShardReceipt(run.run_id, run.sequence, shard, None, None, 0, tuple(outcomes))
