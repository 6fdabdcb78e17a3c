"""The place of a run's loads: this process, or the nodes of a cluster, as tasks.

On a cluster of several nodes the driver would pack every point of the collection by itself, which
is one core's work whatever the cluster has (docs/performance.md). The embedded engine is a folder
that one process has open: its loads stay here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.embed.engine import Engine
from pipeline.embed.ray_start import joins_cluster
from pipeline.index.vector_index import VectorIndex
from pipeline.run.shard_load import LoadDone, ShardLoad, load_as_task
from pipeline.run.step_runner import LOAD_THREADS
from pipeline.settings import Settings

LoadPlace = Callable[[ShardLoad, Callable[[], LoadDone]], LoadDone]
"""Does the load that is asked for, by the function that is given or in another way."""
LOADS_AT_ONCE = 4


@contextmanager
def load_place(settings: Settings, index: VectorIndex, engine: Engine) -> Iterator[LoadPlace]:
    """On the session of the run's engine. When the context has ended, no load is under way on a
    node; one that had not come to its end is given up, and may be repeated."""
    if engine is not Engine.RAY or settings.index.url is None or not joins_cluster():
        yield _here()
        return
    from pipeline.embed.cluster import nodes_that_work
    from pipeline.embed.cluster_calls import cluster_calls

    if len(nodes_that_work()) < 2:
        yield _here()
        return
    # A shard of the collection takes one change after the other: more loads would stand in line.
    at_once = min(LOAD_THREADS, max(LOADS_AT_ONCE, index.shards()))
    with cluster_calls(at_once) as calls:
        yield lambda asked, here: calls.call(load_as_task, asked, here)


def _here() -> LoadPlace:
    room = threading.Semaphore(LOADS_AT_ONCE)

    def done(_: ShardLoad, here: Callable[[], LoadDone]) -> LoadDone:
        with room:
            return here()

    return done
