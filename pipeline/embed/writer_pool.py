"""Several writers of a run, each with the shards of its own: number `shard % writers`.

A writer gathers a shard in memory until it is whole, and commits it as one file with one receipt.
All of them are processes on the driver's node, so that none is lost that the run itself outlives.
What reaches them comes through the graph's last stage, which sends each its rows; one that is sent
again, since its sender died, changes nothing.

Import it as late as Ray itself (`pipeline.embed.ray_start` says why).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pyarrow as pa
import ray

from pipeline.embed.cluster import own_node, pinned_to
from pipeline.embed.job import EmbedJob
from pipeline.embed.progress_actor import Reporter
from pipeline.embed.ray_session import head_answers
from pipeline.state.receipts import receipt_bytes


@contextmanager
def writer_pool(job: EmbedJob, board: Any, writers: int) -> Iterator[tuple[Any, ...]]:
    """The actors, for one graph: what they have gathered of shards that are not whole goes with
    them. One that dies is started again, empty, and given once more what it had in hand."""
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(ShardWriter)
    here = actor.options(scheduling_strategy=pinned_to(own_node()))
    started = tuple(here.remote(job, board) for _ in range(writers))
    try:
        yield started
    finally:
        if head_answers():  # if not, Ray ends them by itself
            for one in started:
                ray.kill(one)


class ShardWriter:
    """The write stage as an actor: encoded rows in, the bytes of receipts out."""

    def __init__(self, job: EmbedJob, board: Any) -> None:
        self._reporter = Reporter(board)
        self._stage = job.write_stage(self._reporter.add)

    def receipts(self, table: pa.Table) -> list[bytes]:
        """Of the shards that the table completes."""
        receipts = [receipt_bytes(receipt) for receipt in self._stage.receipts(table)]
        self._reporter.tell()
        return receipts


def by_writer(table: pa.Table, writers: int) -> list[pa.Table]:
    """The rows of each writer, in their order."""
    owners = table.column("shard").to_numpy() % writers
    return [table.filter(pa.array(owners == number)) for number in np.arange(writers)]


def receipts_of(writers: Sequence[Any], table: pa.Table) -> list[bytes]:
    """Send each writer its rows, all at once; the receipts of all of them."""
    parts = by_writer(table, len(writers))
    asked = [
        writer.receipts.remote(part)
        for writer, part in zip(writers, parts, strict=True)
        if part.num_rows
    ]
    return [receipt for answer in cast("list[list[bytes]]", ray.get(asked)) for receipt in answer]
