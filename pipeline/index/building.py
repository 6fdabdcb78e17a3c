"""Waits until a server has built what a collection is to be searched by.

Its status alone does not say so. Optimisers are made anew in the background after a change of the
graph, and until then the server has nothing to do and says green; and the status is that of one
copy of each shard. So three things must hold, for some seconds on end: green; no optimisation at
work or waiting on any node, where the server tells of them; and as many vectors indexed as must be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable, SensedexError
from pipeline.index.connection import Connection

POLL_EVERY_S = 0.5
QUIET_POLLS = 6  # built, so often one after the other; where nothing is large enough, twice
STALLED_POLLS = 120  # a minute of green in which no more is indexed, and none is at work
LARGEST_THRESHOLD_KB = 20_000  # a server's own, where it does not say
BYTES = {q.Datatype.FLOAT32: 4, q.Datatype.FLOAT16: 2, q.Datatype.UINT8: 1}


@dataclass(frozen=True, slots=True)
class Building:
    """How far it is: `pending` points are in segments that wait for an optimisation or are in one,
    on all nodes; None where the server does not tell."""

    green: bool
    indexed_vectors: int
    vectors: int
    least_indexed: int
    points: int
    pending: int | None

    @property
    def quiet(self) -> bool:
        """Nothing is at work, as far as can be seen."""
        return self.green and not self.pending

    @property
    def built(self) -> bool:
        return self.quiet and self.indexed_vectors >= self.least_indexed

    @property
    def indexed_points(self) -> int:
        """About: a point has one vector or several."""
        if self.pending is not None:
            return max(0, self.points - self.pending)
        share = self.indexed_vectors / self.vectors if self.vectors else 1.0
        return math.floor(self.points * min(1.0, share))


@dataclass(frozen=True, slots=True)
class Progress:
    """What is told while one waits. `seconds_left` is reckoned by the pace since the first look;
    None where nothing was indexed since then, or all that counts is."""

    indexed_points: int
    points: int
    seconds_left: float | None

    def __str__(self) -> str:
        told = f"{self.indexed_points:,} of {self.points:,} points"
        if self.seconds_left is None:
            return told
        if self.seconds_left < 90:
            return f"{told}, about {math.ceil(self.seconds_left)} s left"
        if self.seconds_left < 90 * 60:
            return f"{told}, about {self.seconds_left / 60:.0f} min left"
        return f"{told}, about {self.seconds_left / 3600:.1f} h left"


Waiting = Callable[[Progress], None]


class Pace:
    """How fast points are indexed, from when one began to look."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def seen(self, now_s: float, indexed: int, points: int) -> Progress:
        """`now_s` is a clock's; `indexed` of `points` are built."""
        if self._first is None or indexed < self._first[1]:  # an optimisation has begun anew
            self._first = (now_s, indexed)
        since, before = self._first
        done, took_s = indexed - before, now_s - since
        left = None
        if done > 0 and took_s > 0 and indexed < points:
            left = (points - indexed) * took_s / done
        return Progress(indexed, points, left)


def wait_built(connection: Connection, name: str, waiting: Waiting) -> None:
    """Calls `waiting` after each look. Raises IndexUnavailable where the collection is broken."""
    if connection.local:
        return
    built = stalled = 0
    before: Building | None = None
    pace = Pace()
    while True:
        # Who does not tell once is not asked again: it may have cost the whole timeout.
        tells = before is None or before.pending is not None
        now = _look(connection, name, tells=tells)
        built = built + 1 if now.built else 0
        same = before is not None and now.indexed_vectors == before.indexed_vectors
        stalled = stalled + 1 if now.quiet and same else 0
        # What must be indexed is reckoned, and a server may know better: it is not waited for in
        # vain.
        if built >= (QUIET_POLLS if now.least_indexed else 2) or stalled >= STALLED_POLLS:
            return
        waiting(pace.seen(time.monotonic(), now.indexed_points, now.points))
        before = now
        time.sleep(POLL_EVERY_S)


def _look(connection: Connection, name: str, *, tells: bool) -> Building:
    with connection.call("waiting for the graph") as client:
        found = client.get_collection(name)
        if found.status is q.CollectionStatus.GREY:  # stopped, until it is asked to go on
            client.update_collection(name, optimizers_config=q.OptimizersConfigDiff())
        vectors = _vectors(client, name, found)
    if found.status is q.CollectionStatus.RED:
        raise IndexUnavailable(
            f"Qdrant says that collection {name!r} is red: {found.optimizer_status}.",
            remedy="Look at the server's log, then run again.",
        )
    copies = found.config.params.replication_factor or 1
    return Building(
        green=found.status is q.CollectionStatus.GREEN,
        indexed_vectors=found.indexed_vectors_count or 0,
        vectors=sum(vectors.values()),
        least_indexed=least_indexed(found, vectors),
        points=found.points_count or 0,
        pending=_pending(connection, name, copies) if tells else None,
    )


def _vectors(client: QdrantClient, name: str, found: q.CollectionInfo) -> dict[str, int]:
    """How many there are of each name. A server knows it without counting."""
    params = found.config.params.vectors
    names = list(params) if isinstance(params, dict) else []
    return {
        vector: client.count(
            name, q.Filter(must=[q.HasVectorCondition(has_vector=vector)]), exact=False
        ).count
        for vector in names
    }


def least_indexed(found: q.CollectionInfo, vectors: Mapping[str, int]) -> int:
    """How many vectors must be indexed when all is built. A segment whose vectors of no name reach
    the threshold has no graph, and there may be as many of these as there are segments."""
    threshold_kb = found.config.optimizer_config.indexing_threshold
    if threshold_kb is None:
        threshold_kb = LARGEST_THRESHOLD_KB
    if not threshold_kb or not found.config.hnsw_config.m:
        return 0
    params = found.config.params.vectors
    named = params if isinstance(params, dict) else {}
    least = 0
    for name, count in vectors.items():
        bytes_each = named[name].size * BYTES.get(named[name].datatype or q.Datatype.FLOAT32, 4)
        small = math.ceil(threshold_kb * 1024 / bytes_each)
        least += max(0, count - found.segments_count * small)
    return least


def _pending(connection: Connection, name: str, copies: int) -> int | None:
    """Points of one copy that wait for an optimisation or are in one. None where the server is too
    old to tell, or its REST interface cannot be reached: gRPC does not have it."""
    try:
        with connection.call("reading what is built") as client:
            found = client.get_optimizations(name)
    except SensedexError:
        return None
    at_work = sum(segment.points_count for each in found.running for segment in each.segments)
    # One that is at work or waits counts even where its segments are empty.
    jobs = len(found.running) + found.summary.queued_optimizations
    return max(min(1, jobs), math.ceil((at_work + found.summary.queued_points) / copies))
