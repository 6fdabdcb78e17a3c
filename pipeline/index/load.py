"""Makes a committed shard searchable: upsert, count, flip. The same code for a run and for a
rebuild from Parquet; every step may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import IndexUnavailable
from pipeline.index.types import Anchor
from pipeline.index.updates import IDS_PER_REQUEST
from pipeline.index.upserts import OnUpsert, Upserts, ignore_upsert
from pipeline.index.vector_index import VectorIndex
from pipeline.payload_schema import FIELDS
from pipeline.records import ObjectOutcome, Status
from pipeline.state.segments import SegmentBatch

ASSETS_PER_REQUEST = 256
# Payload fields of a segment that are the asset's, and so the anchor's too.
ASSET_FIELDS = tuple(field.name for field in FIELDS if field.copied_to_anchor)
NOT_ALWAYS = frozenset(field.name for field in FIELDS if field.only_where)


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """What a load did; kept beside the shard's receipt."""

    points: int
    assets: int
    retired: int
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Gathered:
    """An asset's points as they pass by: their ids, one payload, and the sum of their vectors,
    where it is wanted."""

    ids: list[str] = field(default_factory=list)
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)


def load_shard(
    index: VectorIndex,
    batches: Iterable[SegmentBatch],
    outcomes: Sequence[ObjectOutcome],
    sequence: int,
    run_id: str,
    *,
    unread: bool = False,
    on_upsert: OnUpsert = ignore_upsert,
) -> LoadReceipt:
    """Load the assets that `outcomes` names as done, each made live as soon as its last segment has
    passed; retire those whose new content is rejected. `on_upsert` is told the seconds of each
    request that writes segments.

    `unread`: nobody reads the collection yet. Segments are written live at once then, which spares
    the server half of its work: a payload that changes moves a point with its vectors.

    What failed or was denied keeps the generation that it had. Raises IndexUnavailable, also when
    the count of points is not what was written.
    """
    clock = _Steps()
    done = {o.asset_id: o for o in outcomes if o.status in (Status.INDEXED, Status.PARTIAL)}
    flipped = index.flipped(list(done))
    # A late writer changes nothing where a later run has flipped since. And where a load is done
    # again (its run was killed, or its answer lost), what is live stays live all along: each point
    # for itself, since a server may have been killed between two steps of a flip, before or after
    # it wrote the anchors.
    done = {a: o for a, o in done.items() if a not in flipped or flipped[a][0] <= sequence}
    with index.upserting({"sequence": sequence, "run_id": run_id}, on_upsert) as upserts:
        flips = _Flips(index, upserts, done, frozenset(flipped), sequence, run_id, clock, unread)
        for batch in batches:
            wanted = _only(batch, done)
            if wanted is None:
                continue
            rows = zip(wanted.point_ids, wanted.asset_ids, strict=True)
            known = [point for point, asset in rows if asset in flipped and not unread]
            live = index.live_among(known) if known else frozenset()
            upserts.put(wanted, wanted.point_ids if unread else live)
            clock.lap("upsert")
            flips.take(wanted)
        flips.finish()
    rejected = [o.asset_id for o in outcomes if o.status is Status.REJECTED]
    for chunk_ids in _chunks(iter(rejected), ASSETS_PER_REQUEST):
        index.remove(chunk_ids, sequence)
    clock.lap("retire")
    return LoadReceipt(flips.points, flips.assets, len(rejected), clock.seconds)


class _Flips:
    """Makes assets live as they become whole: many small ones in one request, a large one in a
    request of its own, so that no asset is cut and none waits long."""

    def __init__(
        self,
        index: VectorIndex,
        upserts: Upserts,
        done: Mapping[str, ObjectOutcome],
        flipped: Collection[str],
        sequence: int,
        run_id: str,
        clock: _Steps,
        unread: bool,
    ) -> None:
        self._index = index
        self._upserts = upserts
        self._done = done
        self._flipped = flipped
        self._sequence = sequence
        self._run_id = run_id
        self._clock = clock
        self._unread = unread
        self._passing: dict[str, _Gathered] = {}
        self._whole: dict[str, _Gathered] = {}
        self.points = 0
        self.assets = 0

    def take(self, batch: SegmentBatch) -> None:
        """A batch that is written, or on its way."""
        _gather(self._passing, batch, sums=self._index.anchors_have_vectors)
        self.points += len(batch.point_ids)
        for asset_id in dict.fromkeys(batch.asset_ids):
            asset = self._passing[asset_id]
            if len(asset.ids) < self._done[asset_id].segments:
                continue
            if self._waiting() + len(asset.ids) > IDS_PER_REQUEST:
                self._flip()
            self._whole[asset_id] = self._passing.pop(asset_id)
            if self._waiting() >= IDS_PER_REQUEST or len(self._whole) >= ASSETS_PER_REQUEST:
                self._flip()

    def finish(self) -> None:
        """After the last batch. Raises IndexUnavailable where segments are missing."""
        self._flip()
        expected = sum(outcome.segments for outcome in self._done.values())
        if self.points != expected:
            raise IndexUnavailable(
                f"The shard's file holds {self.points} segments of these assets, its receipt "
                f"{expected}.",
                code="shard_incomplete",
                remedy="`sensedex retry` embeds them again.",
            )

    def _waiting(self) -> int:
        return sum(len(asset.ids) for asset in self._whole.values())

    def _flip(self) -> None:
        """Nothing is shown that was not counted."""
        if not self._whole:
            return
        self._upserts.wait()
        self._clock.lap("upsert")
        self._leave_overtaken()
        ids = [point for asset in self._whole.values() for point in asset.ids]
        there = sum(self._index.count_points(some) for some in _chunks(iter(ids), IDS_PER_REQUEST))
        if not ids:
            return
        if there != len(ids):
            raise IndexUnavailable(
                f"Qdrant has {there} of {len(ids)} points just written.",
                code="count_differs",
                remedy="The load is tried again.",
            )
        self._clock.lap("count")
        anchors = [
            _anchor(self._done[a], gathered, self._sequence, self._run_id)
            for a, gathered in self._whole.items()
        ]
        self._index.flip(anchors, self._sequence, self._flipped, already_live=self._unread)
        self._clock.lap("flip")
        self.assets += len(self._whole)
        self._whole = {}

    def _leave_overtaken(self) -> None:
        """Drop what a later run has flipped since the load began: an event run may, beside this
        one. It is looked for once the segments are there: a flip that comes after this look takes
        them along, and ours, which names them, is refused."""
        if self._unread or self._index.one_writer:
            return
        flipped = self._index.flipped(list(self._whole))
        later = [asset for asset, (sequence, _) in flipped.items() if sequence > self._sequence]
        if later:
            self._index.sweep_leftovers(later, self._sequence)
            self._whole = {a: found for a, found in self._whole.items() if a not in later}


def _only(batch: SegmentBatch, done: Mapping[str, ObjectOutcome]) -> SegmentBatch | None:
    """The rows of the batch that belong to a generation that is wanted."""
    keep = [
        row
        for row, (asset, generation) in enumerate(
            zip(batch.asset_ids, batch.generations, strict=True)
        )
        if asset in done and done[asset].generation == generation
    ]
    if len(keep) == len(batch):
        return batch
    if not keep:
        return None
    place = {row: new for new, row in enumerate(keep)}
    vectors = {}
    for name, (rows, matrix) in batch.vectors.items():
        chosen = [i for i, row in enumerate(rows.tolist()) if row in place]
        moved = np.array([place[int(rows[i])] for i in chosen], np.int64)
        vectors[name] = (moved, matrix[chosen])
    return SegmentBatch(
        [batch.point_ids[row] for row in keep],
        [batch.asset_ids[row] for row in keep],
        [batch.generations[row] for row in keep],
        vectors,
        [batch.payloads[row] for row in keep],
    )


def _gather(assets: dict[str, _Gathered], batch: SegmentBatch, *, sums: bool) -> None:
    for row, asset_id in enumerate(batch.asset_ids):
        asset = assets.setdefault(asset_id, _Gathered())
        asset.ids.append(batch.point_ids[row])
        asset.payload = asset.payload or batch.payloads[row]
    if not sums:
        return
    for name, (rows, matrix) in batch.vectors.items():
        for row, vector in zip(rows.tolist(), matrix, strict=True):
            so_far = assets[batch.asset_ids[row]].sums
            so_far[name] = so_far[name] + vector if name in so_far else vector.astype(np.float64)


def _anchor(outcome: ObjectOutcome, asset: _Gathered, sequence: int, run_id: str) -> Anchor:
    vectors = {}
    for name, total in asset.sums.items():
        length = float(np.linalg.norm(total))
        if length > 0:
            vectors[name] = (total / length).astype(np.float32)
    payload = {
        name: asset.payload.get(name)
        for name in ASSET_FIELDS
        if name in asset.payload or name not in NOT_ALWAYS
    }
    payload |= {
        "kind": "asset",
        "segments": outcome.segments,
        "status": str(outcome.status),
        "decoded_ms": outcome.decoded_ms,
        "sequence": sequence,
        "run_id": run_id,
    }
    return Anchor(outcome.asset_id, outcome.generation, tuple(asset.ids), vectors, payload)


def anchors_of(
    batches: Iterable[SegmentBatch],
    done: Mapping[str, ObjectOutcome],
    sequence: int,
    run_id: str,
) -> list[Anchor]:
    """The anchors that `load_shard` would write for these assets of the batches, with vectors."""
    assets: dict[str, _Gathered] = {}
    for batch in batches:
        wanted = _only(batch, done)
        if wanted is not None:
            _gather(assets, wanted, sums=True)
    return [_anchor(done[asset], found, sequence, run_id) for asset, found in assets.items()]


class _Steps:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._mark = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._mark, 4)
        self._mark = now


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(islice(items, size)):
        yield chunk
