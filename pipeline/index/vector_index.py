"""One collection: reads, writes and searches. qdrant_client is at home in `pipeline.index`.

A segment point is written with `live = false`; the flip, one request for a batch of assets, writes
their anchors, turns the new generation live and deletes every other one. Readers filter
`live = true` and keep an asset's newest generation (`pipeline.search.generations`). What a later
run wrote is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models as q

from pipeline.ids import anchor_id
from pipeline.index.asking import Asker
from pipeline.index.browsing import Browser
from pipeline.index.collections import Collections, check_fits
from pipeline.index.connection import Connection, open_connection
from pipeline.index.points import CollectionPoints
from pipeline.index.question import matching
from pipeline.index.room_for_searches import RoomForSearches
from pipeline.index.types import Anchor, Hit, WindowsAsk, WindowsAsked
from pipeline.index.updates import (
    IDS_PER_REQUEST,
    Anchors,
    Shown,
    all_of,
    deletion,
    flip_steps,
    hidden,
    superseded,
)
from pipeline.index.upserts import OnUpsert, Upserts, ignore_upsert, upserting
from pipeline.records import VectorSpace
from pipeline.settings_index import IndexSettings


@contextmanager
def open_index(settings: IndexSettings) -> Iterator[VectorIndex]:
    """Raises IndexUnavailable where the server or the folder cannot be had."""
    with open_connection(settings) as connection:
        yield VectorIndex(connection, settings)


class VectorIndex:
    """All that is asked of what is in a collection: by default the one behind the public name."""

    def __init__(self, connection: Connection, settings: IndexSettings, name: str = "") -> None:
        self._connection = connection
        self._call = connection.call
        self._settings = settings
        self._name = name or settings.collection
        self.one_writer = connection.local  # a folder is one process's
        self._asker = Asker(connection, settings, self._name)
        self._room = RoomForSearches(connection)

    @property
    def anchors_have_vectors(self) -> bool:
        """Whether an asset's anchor is to have the mean of its segments' vectors."""
        return self._settings.anchor_vectors

    def guarded(self, may_write: Callable[[], None]) -> VectorIndex:
        """The same index, but `may_write` is called before each change, and may raise."""
        return VectorIndex(self._connection.guarded(may_write), self._settings, self._name)

    def ensure_collection(self, spaces: Sequence[VectorSpace]) -> None:
        """Create the collection and its alias, or see that what is there fits.

        Raises IndexMismatch that names the vector, what is there and what is wanted.
        """
        collections = Collections(self._connection, self._settings)
        if self.exists():
            check_fits(self._name, collections.vectors_of(self._name), spaces)
            return
        physical = f"{self._name}-1"
        collections.create(physical, spaces)
        collections.show(self._name, physical)

    def check_fits(self, spaces: Sequence[VectorSpace]) -> None:
        """As `ensure_collection`, but nothing is created."""
        if self.exists():
            there = Collections(self._connection, self._settings).vectors_of(self._name)
            check_fits(self._name, there, spaces)

    def exists(self) -> bool:
        with self._call("looking for the collection") as client:
            shown = {alias.alias_name for alias in client.get_aliases().aliases}
            return self._name in shown or client.collection_exists(self._name)

    def shards(self) -> int:
        """Of how many the collection is made, which a server fills side by side."""
        with self._call("looking at the collection") as client:
            return client.get_collection(self._name).config.params.shard_number or 1

    def upserting(
        self, more: Mapping[str, Any], on_upsert: OnUpsert = ignore_upsert
    ) -> AbstractContextManager[Upserts]:
        """A context in which segments are written, several requests at a time."""
        return upserting(self._connection, self._name, self._settings, more, self._room, on_upsert)

    def count_points(self, point_ids: Sequence[str]) -> int:
        """How many of these points are there, counted exactly."""
        with self._call("counting points") as client:
            return len(client.retrieve(self._name, list(point_ids), with_payload=False))

    def live_among(self, point_ids: Sequence[str]) -> frozenset[str]:
        """Those of the points that are there and live."""
        with self._call("reading what is live") as client:
            found = client.retrieve(self._name, list(point_ids), with_payload=["live"])
        return frozenset(str(p.id) for p in found if p.payload and p.payload.get("live"))

    def flipped(self, asset_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Of the assets that have an anchor: the sequence of the run that flipped it last, and the
        generation that it flipped to. One that has lost its sequence counts as flipped by no run
        (0), so that the next load mends it; one without a generation has flipped to none ("")."""
        by_anchor = {anchor_id(asset): asset for asset in asset_ids}
        with self._call("reading anchors") as client:
            fields = ["sequence", "generation"]
            found = client.retrieve(self._name, list(by_anchor), with_payload=fields)
        payloads = {by_anchor[str(point.id)]: point.payload or {} for point in found}
        return {a: (p.get("sequence") or 0, p.get("generation") or "") for a, p in payloads.items()}

    def generations(self, asset_ids: Sequence[str]) -> dict[str, str]:
        """Of the assets whose anchor says so, the generation that is live."""
        flipped = self.flipped(asset_ids)
        return {asset: generation for asset, (_, generation) in flipped.items() if generation}

    def anchors(self, page: int = 512) -> Iterator[list[dict[str, Any]]]:
        """The payload of every anchor that names its asset, a page at a time. One whose `asset_id`
        is lost or another's is left out: `sensedex verify --repair` mends it, and a load of its
        asset."""
        return self.points().anchors(page)

    def flip(
        self,
        anchors: Sequence[Anchor],
        sequence: int,
        seen: Collection[str] | None = None,
        *,
        already_live: bool = False,
    ) -> None:
        """Make the anchors' generations the live ones and delete the assets' other segments, in one
        request. `seen` are those of the assets that may have another generation that is live; not
        given, all of them. `already_live`: the segments were written so.

        On a server the other assets are looked at as well: a run that was overtaken may have left
        segments of theirs that it would make live when it wakes up. In a folder there is no second
        writer.
        """
        ids = [point for anchor in anchors for point in anchor.segment_ids]
        new = [a for a in anchors if seen is not None and a.asset_id not in seen]
        replaced = [a for a in anchors if seen is None or a.asset_id in seen]
        written = Anchors(self._anchor_points(new), self._anchor_points(replaced))
        alone = len(anchors) == 1 and len(ids) > IDS_PER_REQUEST
        shown = (
            Shown(asset_id=anchors[0].asset_id, generation=anchors[0].generation)
            if alone
            else Shown(ids)
        )
        every = seen is None or not self._connection.local
        assets = [a.asset_id for a in anchors if every or a.asset_id in (seen or ())]
        steps = flip_steps(written, shown, assets, sequence, already_live=already_live)
        self._connection.update(
            self._name, steps, "flipping assets", done=lambda: self._shows(anchors)
        )

    def _anchor_points(self, anchors: Sequence[Anchor]) -> list[q.PointStruct]:
        return [
            q.PointStruct(
                id=anchor_id(a.asset_id),
                vector={name: vector.tolist() for name, vector in a.vectors.items()},
                payload=self._stored(a.payload),
            )
            for a in anchors
        ]

    def _shows(self, anchors: Sequence[Anchor]) -> bool:
        """Whether the anchors say so, and all their segments are live."""
        wanted = {anchor.asset_id: anchor.generation for anchor in anchors}
        ids = [point for anchor in anchors for point in anchor.segment_ids]
        chunks = (ids[n : n + IDS_PER_REQUEST] for n in range(0, len(ids), IDS_PER_REQUEST))
        there = self.generations(list(wanted)) == wanted
        return there and all(len(self.live_among(chunk)) == len(chunk) for chunk in chunks)

    def sweep_leftovers(self, asset_ids: Sequence[str], sequence: int) -> None:
        """Delete the assets' segments that are not live, and those that are and should not be: of
        another generation than their anchor says. For who has loaded all that it will."""
        swept = [hidden(asset_ids, sequence)]
        if shown := self.generations(asset_ids):
            swept.append(superseded(shown, sequence))
        self._delete(swept, "sweeping what stopped runs left")

    def remove(self, asset_ids: Sequence[str], sequence: int) -> None:
        """Take assets out, anchor and segments, unless a later run has flipped them since."""
        for start in range(0, len(asset_ids), IDS_PER_REQUEST):
            some = asset_ids[start : start + IDS_PER_REQUEST]
            self._delete([all_of(some, sequence)], "removing assets")

    def _delete(self, selected: Sequence[q.Filter], what: str) -> None:
        def gone() -> bool:
            with self._call(what) as client:
                return not any(client.count(self._name, one).count for one in selected)

        steps = [step for one in selected for step in deletion(one)]
        self._connection.update(self._name, steps, what, done=gone)

    def query(
        self,
        vector_name: str,
        vector: NDArray[np.float32],
        limit: int,
        *,
        among: Sequence[str] = (),
        exact: bool = False,
        with_payload: bool = True,
    ) -> list[Hit]:
        """The nearest live segments by cosine; `among` are ids of points, if it is not all. `exact`
        compares with every vector in full; without its payload a hit has its asset."""
        fields = () if with_payload else ("asset_id",)
        ask = WindowsAsk(vector_name, vector, limit, among=tuple(among), exact=exact, fields=fields)
        hits: list[Hit] = self._asker.ask(WindowsAsked((ask,)))[0]
        return hits

    def count(self, *, live_only: bool = True, exact: bool = True) -> int:
        """Segments in the index; not `exact`, what a server knows without looking at each point."""
        if not exact:  # of one condition, which a server need not guess how many share with another
            return self._count([("live", True) if live_only else ("kind", "segment")], exact=False)
        return self._count([("kind", "segment"), *([("live", True)] if live_only else [])])

    def count_assets(self, *, exact: bool = True) -> int:
        """Anchors in the index; `exact` as above."""
        return self._count([("kind", "asset")], exact=exact)

    def newest_token(self, at_least: int) -> int:
        """The highest fencing token that a point has; `at_least` where none is above it."""
        if not self.exists() or not self._has_above(at_least):
            return at_least
        low, step = at_least, 1  # something is above `low`; is there above `low + step`?
        while self._has_above(low + step):
            low, step = low + step, 2 * step
        while step > 1:
            step //= 2
            if self._has_above(low + step):
                low += step
        return low + 1

    def _has_above(self, token: int) -> bool:
        above = q.Filter(must=[q.FieldCondition(key="sequence", range=q.Range(gt=token))])
        with self._call("looking for later runs") as client:
            found, _ = client.scroll(self._name, scroll_filter=above, limit=1, with_payload=False)
        return bool(found)

    def _count(self, fields: Sequence[tuple[str, Any]], *, exact: bool = True) -> int:
        with self._call("counting") as client:
            return client.count(self._name, count_filter=matching(fields), exact=exact).count

    def _stored(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        left_out = self._settings.payload_exclude
        return {name: value for name, value in payload.items() if name not in left_out}

    def points(self) -> CollectionPoints:
        """The same collection, point by point."""
        return CollectionPoints(self._connection, self._name)

    def asker(self) -> Asker:
        """The same collection, as a search asks it."""
        return Asker(self._connection, self._settings, self._name)

    def browser(self) -> Browser:
        """The same collection, looked through."""
        return Browser(self._connection, self._name)

    def metadata(self) -> dict[str, Any]:
        """What was kept with the collection by `keep_metadata`."""
        with self._call("reading the collection") as client:
            return dict(client.get_collection(self._name).config.metadata or {})

    def keep_metadata(self, values: Mapping[str, Any]) -> None:
        """Keep JSON values with the collection, under their names; its snapshots have them too. Of
        several nodes each has them as soon as it has heard of it, which may be after the answer."""
        name = self._physical()
        with self._connection.change("keeping what belongs to the collection") as client:
            client.update_collection(name, metadata=dict(values))

    def _physical(self) -> str:
        return Collections(self._connection, self._settings).behind(self._name) or self._name
