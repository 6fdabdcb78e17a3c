"""The main path as one Ray Data graph: planned objects in, receipts of committed shards out.

    ranges of the plan -> decode (CPU) -> encode (GPU where there is one) -> write -> receipts

One execution a run, streaming: the model loads once, windows of all objects share full batches,
and a shard's receipt comes out while later shards are still being decoded. `pipeline.embed.local`
runs the same three stages without Ray.

What is lost: an actor is started again by Ray and given what it had; a node's blocks are made
again from what they were made of. The writers, which alone remember anything, are on the driver's
node. Where that does not help, another graph takes up what has no receipt
(`pipeline.embed.rounds`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
import ray.data.exceptions
from ray._private.log import PlainRayHandler
from ray.data import ActorPoolStrategy, DataContext

from pipeline import codec
from pipeline.embed.cluster import NODE_LABEL, own_node
from pipeline.embed.decode_tasks import DecodeTask, decode_tasks, size_of_plan, task_size
from pipeline.embed.fetch import FETCHES_AT_ONCE
from pipeline.embed.graph_errors import graph_error
from pipeline.embed.job import EmbedJob
from pipeline.embed.left_out import failed_shard, killed_workers
from pipeline.embed.plan_feeder import PlanFeeder
from pipeline.embed.pool_sizes import Pools, decode_share
from pipeline.embed.pools import StrandedActors, pools_for, wait_for_room
from pipeline.embed.progress_actor import ProgressBoard
from pipeline.embed.ray_session import while_ray_lives
from pipeline.embed.rounds import GraphBroken, until_committed
from pipeline.embed.stage_actors import RayDecode, RayEncode, RayWrite
from pipeline.embed.writer_pool import writer_pool
from pipeline.lazy_pandas import know_pandas
from pipeline.planning.file import read_plan
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.records import ShardReceipt
from pipeline.state.receipts import commit_receipt, read_receipts

BLOCK_BYTES = 16 * 2**20
SEEN_EVERY_S = 0.5
# A GPU goes on from one to the next of them by itself, and waits for Ray only after the last.
BATCHES_A_CALL = 8


def run_graph(
    job: EmbedJob,
    tasks: Iterable[DecodeTask],
    board: ProgressBoard,
    feeder: PlanFeeder,
    pools: Pools,
) -> Iterator[ShardReceipt]:
    """The same receipts as `run_in_loop`, from one Ray Data execution on the current session.

    Raises GraphBroken when Ray gives up and RayDied; no object's own fault can do that. An error
    of ours that no retry can help comes as it is.
    """
    configure_ray_data()
    # A block a task, made here: of Arrow tables Ray asks a worker, table by table, what they are,
    # and that worker first has to start.
    items = [{"first": task.first, "count": task.count} for task in tasks]
    ranges = ray.data.from_items(items, override_num_blocks=len(items))
    several = pools.writers if pools.writers > 1 else 0
    with writer_pool(job, board.handle, several) as writers:
        receipts = _stages(job, ranges, board, feeder, pools, writers)
        yield from _drawn(receipts, board)


def _stages(
    job: EmbedJob,
    ranges: ray.data.Dataset,
    board: ProgressBoard,
    feeder: PlanFeeder,
    pools: Pools,
    writers: tuple[Any, ...],
) -> ray.data.Dataset:
    encode = job.settings.encode
    return (
        ranges.map_batches(
            RayDecode,
            batch_size=None,
            batch_format="pyarrow",
            compute=_pool(pools.decoders, pools.most_decoders),
            num_cpus=pools.cpus_each,
            fn_constructor_args=(job, board.handle, feeder.handle),
        )
        .map_batches(
            RayEncode,
            batch_size=encode.batch_size * (BATCHES_A_CALL if pools.on_gpu else 1),
            batch_format="pyarrow",
            compute=_pool(pools.encoders, pools.most_encoders),
            num_cpus=0 if pools.on_gpu else pools.cpus_each,
            num_gpus=pools.gpus_each if pools.on_gpu else 0,
            fn_constructor_args=(job, board.handle),
        )
        .map_batches(
            RayWrite,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=pools.writers),
            num_cpus=0,
            # What it has gathered is lost with it: it lives as long as the driver's node does.
            label_selector={NODE_LABEL: own_node()},
            fn_constructor_args=(job, board.handle, writers),
        )
    )


def _pool(least: int, most: int) -> ActorPoolStrategy:
    """Ray makes it larger while its stage lags and there is room."""
    return ActorPoolStrategy(min_size=least, max_size=max(least, most))


def _drawn(receipts: ray.data.Dataset, board: ProgressBoard) -> Iterator[ShardReceipt]:
    stranded = StrandedActors(board)
    try:
        batches = receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for batch in while_ray_lives(batches, stranded.look):
            for cell in cast("pa.Table", batch).column("receipt"):
                yield codec.from_bytes(ShardReceipt, cell.as_py())
    except (
        ray.exceptions.RayError,
        ray.data.exceptions.SystemException,
        ray.data.exceptions.ExecutionTimeoutError,
    ) as error:
        raise graph_error(error) from error
    finally:
        board.forget_actors()


def receipts_by_ray(
    job: EmbedJob, plan: Path, reporter: ProgressReporter, share: float | None = None
) -> Iterator[ShardReceipt]:
    """A receipt for every shard of the job; what a lost worker or node cost is embedded again.
    `plan` is the plan's file, as the run has stored it; `share` decoding's part of the work of
    decoding and encoding, where the last run says so.

    Raises GraphBroken and ShardsMissing where the cluster cannot do it, and RayDied.
    """
    board = ProgressBoard()
    started = False

    def see(stages: Mapping[Stage, StageProgress]) -> None:
        nonlocal started
        if Stage.ENCODE in stages and not started:
            started = True
            reporter.embedding_began()
        reporter.update(stages)

    rounds = _RayRounds(job, plan, board, reporter, share)
    with board.followed_by(see, SEEN_EVERY_S):
        yield from until_committed(tuple(job.objects_by_shard), rounds, reporter.phase)


def workers_of(pools: Pools) -> dict[Stage, int]:
    """How many work in each stage of the graph, at least. Each decoder has threads of its own that
    fetch."""
    return {
        Stage.FETCH: FETCHES_AT_ONCE * pools.decoders,
        Stage.DECODE: pools.decoders,
        Stage.ENCODE: pools.encoders,
        Stage.WRITE: pools.writers,
    }


class _RayRounds:
    """A graph a round. The counts of what is done again are taken back first."""

    def __init__(
        self,
        job: EmbedJob,
        plan: Path,
        board: ProgressBoard,
        reporter: ProgressReporter,
        share: float | None,
    ) -> None:
        self._share = share
        self._job = job
        self._plan = plan
        self._feeder = PlanFeeder(job)
        self._board = board
        self._reporter = reporter
        self._done = StageProgress()

    def run(self, shards: Collection[int]) -> Iterator[ShardReceipt]:
        without_bytes = StageProgress(self._done.objects, self._done.segments, self._done.media_ms)
        self._board.begin_graph(
            {
                Stage.FETCH: StageProgress(self._done.objects),
                Stage.DECODE: self._done,
                Stage.ENCODE: without_bytes,
                Stage.WRITE: without_bytes,
            }
        )
        wait_for_room(self._job.settings, self._reporter.phase)
        objects, size_bytes = size_of_plan(self._plan, shards)
        pools = pools_for(self._job.settings, self._share_of(objects, size_bytes))
        self._reporter.set_workers(workers_of(pools))
        most = task_size(objects, size_bytes, max(pools.decoders, pools.most_decoders))
        tasks = decode_tasks(self._plan, shards, most)
        graph = run_graph(self._job, tasks, self._board, self._feeder, pools)
        with closing(cast("Any", graph)):
            for receipt in graph:
                self._count(receipt)
                yield receipt
        self._reporter.set_workers(self._grown(pools))

    def _share_of(self, objects: int, size_bytes: int) -> float:
        if self._share is not None:
            return self._share
        settings = self._job.settings
        sampling, encoder = settings.decode.sampling, settings.encode.encoder
        return decode_share(objects, size_bytes, sampling, encoder)

    def _grown(self, pools: Pools) -> dict[Stage, int]:
        """What Ray has made of the pools, as far as is known."""
        counted = self._board.most_actors()
        decoders = min(counted.get(Stage.DECODE, 1), max(pools.decoders, pools.most_decoders))
        encoders = min(counted.get(Stage.ENCODE, 1), max(pools.encoders, pools.most_encoders))
        return {
            Stage.FETCH: FETCHES_AT_ONCE * decoders,
            Stage.DECODE: decoders,
            Stage.ENCODE: encoders,
        }

    def committed(self, shards: Collection[int]) -> Iterator[ShardReceipt]:
        for receipt in read_receipts(self._job.open_store(), self._job.run):
            if receipt.shard in shards:
                self._count(receipt)
                yield receipt

    def begun(self) -> Collection[int]:
        return self._board.begun_shards()

    def fail(self, shard: int, why: GraphBroken | None) -> ShardReceipt:
        failure = killed_workers("graph" if why is None else "embed")
        rows = (row for row in read_plan(self._plan) if row.shard == shard)
        given_up = failed_shard(self._job.run, shard, rows, failure)
        return commit_receipt(self._job.open_store(), given_up)

    def _count(self, receipt: ShardReceipt) -> None:
        outcomes = receipt.outcomes
        self._done = self._done.plus(
            StageProgress(
                len(outcomes),
                receipt.segments,
                sum(o.decoded_ms for o in outcomes),
                sum(o.size_bytes for o in outcomes),
            )
        )


def configure_ray_data() -> None:
    """For this process: blocks of windows' size, no second try of a defect, a quiet screen."""
    know_pandas()  # which Ray Data has imported, and may give to arrow
    context = DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Nothing that an object can do raises in a stage, so what does raise is ours or Ray's: stop.
    context.max_errored_blocks = 0
    # It would put an error of its own around ours, which forgets on its way here what it is about.
    context.raise_original_map_exception = True
    # Its console handler reports every execution, and one that breaks with a page of traceback; a
    # run has a progress of its own, and says what it does about that. Ray's log file has it all,
    # and whoever else listens to that logger keeps his level.
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, PlainRayHandler):
            handler.setLevel(logging.CRITICAL)
