"""The main path without Ray, in this process: threads fetch and decode, a few windows ahead of
encode and write, and begin while the encoder's library is imported.

The same stages and the same receipts as `pipeline.embed.graph`, for a run of little, which is done
before Ray would have started, and for a machine of few cores, which Ray would only share out.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from pipeline.ahead import ahead
from pipeline.embed.engine import usable_cores
from pipeline.embed.fetch import FETCHES_AT_ONCE, Fetched
from pipeline.embed.job import EmbedJob, chunks
from pipeline.embed.reused_memory import keep_freed_memory
from pipeline.embed.rows import DecodedRow, decoded_table
from pipeline.media.sandbox.server_process import prepare_children
from pipeline.models.weights import weights_bytes
from pipeline.progress import AddProgress, ProgressReporter, Stage, StageProgress
from pipeline.records import PlanRow, ShardReceipt
from pipeline.settings_embedding import EncodeSettings

TURN_S = 0.0005
SMALL_ENCODER_BYTES = 64 * 10**6
CORES_WITH_A_BATCH = 4


def workers_of_loop(job: EmbedJob) -> dict[Stage, int]:
    """How many threads work in each stage. Encoding and writing take turns in one."""
    decoders = job.settings.decode.processes or usable_cores()
    return {
        Stage.FETCH: FETCHES_AT_ONCE, Stage.DECODE: decoders, Stage.ENCODE: 1, Stage.WRITE: 1,
    }  # fmt: skip


def windows_per_batch(encode: EncodeSettings, cores: int) -> int:
    """What the encoder is given at once, of which each core takes its part.

    Of a small encoder's, a part as large as `encode.batch_size`, for up to four cores: its threads
    take turns with Python's others less often (docs/performance.md). A large one's batch takes
    minutes, and a shard is committed no sooner than its batch, so all cores share one.
    """
    weights = weights_bytes(encode)
    if weights is None or weights > SMALL_ENCODER_BYTES:
        return encode.batch_size
    return encode.batch_size * min(max(1, cores), CORES_WITH_A_BATCH)


def run_in_loop(
    job: EmbedJob, rows: Iterator[PlanRow], add_progress: AddProgress
) -> Iterator[ShardReceipt]:
    """Receipts, as their shards are committed. No object's own fault raises."""
    keep_freed_memory()
    prepare_children()  # half a second
    batch = windows_per_batch(job.settings.encode, usable_cores())
    decoders = workers_of_loop(job)[Stage.DECODE]

    def decoded(fetched: Iterator[Fetched]) -> Generator[DecodedRow, None, None]:
        with closing(job.decode_stage(add_progress)) as decode:
            for item in fetched:
                yield from decode.rows(item, job.shard_of(item.planned))

    with (
        _short_turns(),
        job.fetched(rows) as fetched,
        ahead(*(decoded(fetched) for _ in range(decoders)), most=2 * batch) as windows,
    ):
        encode = job.encode_stage(add_progress)
        write = job.write_stage(add_progress)
        tables = (decoded_table(chunk) for chunk in chunks(windows, batch))
        for encoded in encode.tables(tables):
            yield from write.receipts(encoded)


@contextmanager
def _short_turns() -> Iterator[None]:
    """Python threads take turns ten times as often. The encoder's threads are back from a product
    every millisecond, and would each time wait the usual 5 ms for one that reads an answer of S3:
    a tenth of a run of pictures (docs/performance.md)."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def receipts_in_loop(
    job: EmbedJob, rows: Iterator[PlanRow], reporter: ProgressReporter
) -> Iterator[ShardReceipt]:
    """As `run_in_loop`, with its progress told to `reporter`."""
    started = False

    def add(stage: Stage, more: StageProgress) -> None:
        nonlocal started
        if stage is Stage.ENCODE and not started:
            started = True
            reporter.embedding_began()
        reporter.add(stage, more)

    reporter.set_workers(workers_of_loop(job))
    return run_in_loop(job, rows, add)
