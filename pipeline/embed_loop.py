"""The main path without Ray: decode, encode and write in this process, one after the other.

The same stages and the same receipts as `pipeline.graph`, for a run of little, which is done before
Ray would have started.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.decode_stage import AddProgress
from pipeline.embed_job import EmbedJob, chunks
from pipeline.media.child import prepare_children
from pipeline.progress import Stage, StageProgress
from pipeline.records import PlanRow, ShardReceipt
from pipeline.rows import decoded_table
from pipeline.watch import Watch


def run_in_loop(
    job: EmbedJob, rows: Iterator[PlanRow], add_progress: AddProgress
) -> Iterator[ShardReceipt]:
    """Receipts, as their shards are committed. No object's own fault raises."""
    prepare_children()  # half a second, while the encoder loads its model
    encode = job.encode_stage(add_progress)
    decode = job.decode_stage(add_progress)
    write = job.write_stage(add_progress)
    decoded = (item for row in rows for item in decode.rows(row, job.shard_of(row)))
    for chunk in chunks(decoded, job.settings.encode.batch_size):
        yield from write.receipts(encode.table(decoded_table(chunk)))


def receipts_in_loop(
    job: EmbedJob, rows: Iterator[PlanRow], watch: Watch
) -> Iterator[ShardReceipt]:
    """As `run_in_loop`, told to `watch`."""
    started = False

    def add(stage: Stage, more: StageProgress) -> None:
        nonlocal started
        if stage is Stage.ENCODE and not started:
            started = True
            watch.embedding_began()
        watch.add(stage, more)

    return run_in_loop(job, rows, add)
