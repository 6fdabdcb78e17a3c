"""The main path as one Ray Data graph: planned objects in, receipts of committed shards out.

    plan rows -> decode (CPU) -> encode (GPU where there is one) -> write (one) -> receipts

One execution a run, streaming: the model loads once, windows of all objects share full batches,
and a shard's receipt comes out while later shards are still being decoded. `pipeline.embed.local`
runs the same three stages without Ray.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from pipeline import codec
from pipeline.embed.job import EmbedJob, chunks
from pipeline.embed.progress_actor import ProgressBoard, Reporter
from pipeline.embed.ray_session import while_ray_lives
from pipeline.embed.rows import decoded_table
from pipeline.errors import Transient
from pipeline.media.sandbox.server_process import prepare_children
from pipeline.planning.file import plan_table, rows_of_table
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.records import PlanRow, ShardReceipt
from pipeline.state.receipts import receipt_bytes

# A decoded window weighs 0.36 MB; a block of 16 keeps every stage busy and memory small.
WINDOWS_PER_BLOCK = 16
BLOCK_BYTES = 16 * 2**20
# Small objects go to a decoder many at a time, large ones alone: no worker is left with all.
OBJECTS_PER_TASK = 16
BYTES_PER_TASK = 32 * 2**20
SEEN_EVERY_S = 0.5


class GraphBroken(Transient):
    """Ray itself failed (an actor or a node died). What was committed is kept; run again."""

    default_code = "graph_broken"


def run_graph(
    job: EmbedJob, rows: Iterator[PlanRow], board: ProgressBoard
) -> Iterator[ShardReceipt]:
    """The same receipts as `run_in_loop`, from one Ray Data execution on the current session.

    Raises GraphBroken when Ray gives up and RayDied; no object's own fault can do that.
    """
    _configure()
    encode = job.settings.encode
    on_gpu = encode.device.startswith("cuda") or (
        encode.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0
    )
    blocks = [plan_table(chunk) for chunk in _tasks(rows)]
    receipts = (
        ray.data.from_arrow(blocks)
        .map_batches(
            _RayDecode,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=job.settings.decode.processes or 1),
            num_cpus=1,
            fn_constructor_args=(job, board.handle),
        )
        .map_batches(
            _RayEncode,
            batch_size=encode.batch_size,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=encode.processes),
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else 0,
            fn_constructor_args=(job, board.handle),
        )
        .map_batches(
            _RayWrite,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1),
            num_cpus=0,
            fn_constructor_args=(job, board.handle),
        )
    )
    try:
        batches = receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for batch in while_ray_lives(batches):
            for cell in cast("pa.Table", batch).column("receipt"):
                yield codec.from_bytes(ShardReceipt, cell.as_py())
    except ray.exceptions.RayError as error:
        raise GraphBroken(
            f"Ray stopped the graph: {str(error).splitlines()[0] if str(error) else error!r}",
            remedy="Run again: committed shards are kept. Ray's own log has the details.",
        ) from error


def receipts_by_ray(
    job: EmbedJob, rows: Iterator[PlanRow], reporter: ProgressReporter
) -> Iterator[ShardReceipt]:
    """As `run_graph`, with its progress told to `reporter`."""
    board = ProgressBoard()
    started = False

    def see(stages: Mapping[Stage, StageProgress]) -> None:
        nonlocal started
        if Stage.ENCODE in stages and not started:
            started = True
            reporter.embedding_began()
        reporter.update(stages)

    with board.followed_by(see, SEEN_EVERY_S):
        yield from run_graph(job, rows, board)


class _RayDecode:
    def __init__(self, job: EmbedJob, board: Any) -> None:
        self._job = job
        self._reporter = Reporter(board)
        self._stage = job.decode_stage(self._reporter.add)
        prepare_children()  # half a second, while the encoder loads its model

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        with self._job.fetched(iter(rows_of_table(table))) as fetched:
            rows = (
                row for f in fetched for row in self._stage.rows(f, self._job.shard_of(f.planned))
            )
            for chunk in chunks(rows, WINDOWS_PER_BLOCK):
                yield decoded_table(chunk)
        self._reporter.tell()


class _RayEncode:
    def __init__(self, job: EmbedJob, board: Any) -> None:
        self._reporter = Reporter(board)
        self._stage = job.encode_stage(self._reporter.add)
        self._reporter.tell()

    def __call__(self, table: pa.Table) -> pa.Table:
        encoded = self._stage.table(table)
        self._reporter.tell()
        return encoded


class _RayWrite:
    def __init__(self, job: EmbedJob, board: Any) -> None:
        self._reporter = Reporter(board)
        self._stage = job.write_stage(self._reporter.add)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        receipts = [receipt_bytes(receipt) for receipt in self._stage.receipts(table)]
        self._reporter.tell()
        yield pa.table({"receipt": pa.array(receipts, type=pa.binary())})


def _configure() -> None:
    context = DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Nothing that an object can do raises in a stage, so what does raise is ours or Ray's: stop.
    context.max_errored_blocks = 0
    context.raise_original_map_exception = False
    # Its console handler reports every execution; a run has a progress of its own.
    for handler in logging.getLogger("ray.data").handlers:
        handler.setLevel(max(handler.level, logging.ERROR))


def _tasks(rows: Iterator[PlanRow]) -> Iterator[list[PlanRow]]:
    task: list[PlanRow] = []
    size = 0
    for row in rows:
        if task and (
            len(task) >= OBJECTS_PER_TASK or size + row.object.size_bytes > BYTES_PER_TASK
        ):
            yield task
            task, size = [], 0
        task.append(row)
        size += row.object.size_bytes
    if task:
        yield task
