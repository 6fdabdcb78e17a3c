"""Writes segments, in requests of a bounded size, of which some are on their way at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as g
from qdrant_client import models as q

from pipeline.index.connection import Connection
from pipeline.index.errors import completed
from pipeline.index.packed_points import PointPacker, send_upsert, upsert_request
from pipeline.index.room_for_searches import RoomForSearches
from pipeline.index.updates import unless_later_or_shown
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import SegmentBatch
from pipeline.words import WORDS, words_of_window

# Of vectors in a request. Larger ones gain nothing, and two of them wait in the server's memory.
BYTES_PER_REQUEST = 1024 * 1024
# Told the seconds of each request that was answered; from several threads at once.
OnUpsert = Callable[[float], None]


def ignore_upsert(_: float) -> None:
    """For callers that do not count."""


@contextmanager
def upserting(
    connection: Connection,
    collection: str,
    settings: IndexSettings,
    more: Mapping[str, Any],
    room: RoomForSearches,
    on_upsert: OnUpsert = ignore_upsert,
) -> Iterator[Upserts]:
    """`more` is added to each payload. All is written when the context has ended; with an error,
    nothing is on its way any longer, and some of it may be written.

    On a server, points of a later sequence than that in `more` stay as they are, and live ones of
    that sequence.
    """
    if connection.local:
        yield Upserts(connection, collection, settings, more, None, room, on_upsert)
        return
    with ThreadPoolExecutor(settings.upserts_at_once, "upsert") as pool:
        upserts = Upserts(connection, collection, settings, more, pool, room, on_upsert)
        room.begin()
        try:
            yield upserts
            upserts.wait()
            upserts.leave_room()
        finally:
            pool.shutdown(cancel_futures=True)


class Upserts:
    """What `upserting` gives."""

    def __init__(
        self,
        connection: Connection,
        collection: str,
        settings: IndexSettings,
        more: Mapping[str, Any],
        pool: ThreadPoolExecutor | None,
        room: RoomForSearches,
        on_upsert: OnUpsert = ignore_upsert,
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._settings = settings
        self._more = more
        self._pool = pool
        self._room = room
        self._on_upsert = on_upsert
        self._packer = None if connection.local or not settings.prefer_grpc else PointPacker()
        self._on_their_way: deque[Future[None]] = deque()
        self._next_s = 0.0  # of the monotonic clock: when `points_per_s` allows the next request
        # In a folder there is no second writer, and the look costs a part of the upsert.
        self._unless_later: int | None = None if connection.local else more.get("sequence")

    def put(self, batch: SegmentBatch, live: Collection[str] = ()) -> None:
        """Write the segments; not live yet, but for the points in `live`: what is read must not go
        away. They may still be on their way when this returns. Raises IndexUnavailable for what
        was put before, too."""
        vectors: list[dict[str, NDArray[np.float32]]] = [{} for _ in batch.point_ids]
        for name, (rows, matrix) in batch.vectors.items():
            for row, vector in zip(rows.tolist(), matrix, strict=True):
                vectors[row][name] = vector
        shown = frozenset(live)
        payloads = [
            self._stored(payload, live=point in shown)
            for point, payload in zip(batch.point_ids, batch.payloads, strict=True)
        ]
        size = self._points_per_request(batch)
        for start in range(0, len(batch), size):
            some = slice(start, start + size)
            self._keep_pace(len(batch.point_ids[some]))
            self._send(batch.point_ids[some], vectors[some], payloads[some])

    def wait(self) -> None:
        """Return when all that was put is written. Raises IndexUnavailable."""
        while self._on_their_way:
            self._on_their_way.popleft().result()

    def leave_room(self) -> None:
        """Rest where somebody searches, and `points_per_s` does not say how many that may cost."""
        if self._settings.points_per_s is None and not self._connection.local:
            self._room.rest(self.wait)

    def _keep_pace(self, points: int) -> None:
        """Wait until the server may be given so many. What came late is not made up for."""
        if self._connection.local:
            return
        if self._settings.points_per_s is None:
            self.leave_room()
            return
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = max(self._next_s, time.monotonic()) + points / self._settings.points_per_s

    def _send(
        self,
        ids: Sequence[str],
        vectors: Sequence[Mapping[str, NDArray[np.float32]]],
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        if self._packer is not None:
            points = list(map(self._packer.point, ids, vectors, payloads))
            request = upsert_request(
                self._collection, points, self._unless_later, self._connection.ordering
            )
            self._when_there_is_room(lambda: self._by_grpc(request))
            return
        # Not validated value by value: they come typed from Arrow, and checking each float again
        # costs a part of the client's time (docs/performance.md).
        plain = [
            q.PointStruct.model_construct(
                id=point,
                vector={name: vector.tolist() for name, vector in named.items()},
                payload=dict(payload),
            )
            for point, named, payload in zip(ids, vectors, payloads, strict=True)
        ]
        self._when_there_is_room(lambda: self._by_client(plain))

    def _when_there_is_room(self, write: Callable[[], None]) -> None:
        if self._pool is None:
            self._timed(write)
            return
        while len(self._on_their_way) > self._settings.upserts_at_once:
            self._on_their_way.popleft().result()
        self._on_their_way.append(self._pool.submit(self._timed, write))

    def _timed(self, write: Callable[[], None]) -> None:
        began = time.perf_counter()
        write()
        self._on_upsert(time.perf_counter() - began)

    def _by_grpc(self, request: g.UpsertPoints) -> None:
        with self._connection.change("upserting points") as client:
            answer = send_upsert(client, request, self._settings.timeout_s)
        completed(answer, "upserting points")

    def _by_client(self, points: Sequence[q.PointStruct]) -> None:
        sequence = self._unless_later
        condition = None if sequence is None else unless_later_or_shown(sequence)
        with self._connection.change("upserting points") as client:
            answer = client.upsert(
                self._collection,
                points,
                wait=True,
                update_filter=condition,
                ordering=self._connection.ordering,
            )
        completed(answer, "upserting points")

    def _points_per_request(self, batch: SegmentBatch) -> int:
        size = sum(matrix.nbytes for _, matrix in batch.vectors.values()) / max(1, len(batch))
        return max(1, min(self._settings.upsert_points, int(BYTES_PER_REQUEST / max(1.0, size))))

    def _stored(self, payload: Mapping[str, Any], *, live: bool) -> dict[str, Any]:
        words = words_of_window(payload)
        whole = {**payload, **self._more, "live": live, WORDS: words}
        left_out = self._settings.payload_exclude
        return {name: value for name, value in whole.items() if name not in left_out}
