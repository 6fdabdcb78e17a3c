"""Asks a collection for a search, in as few requests as Qdrant allows: all questions of a
search go in one batch; those that are grouped by asset in one request each, for which there is no
batch.

`Asker` is for the usual client, `AsyncAsker` in `async_asking.py` for an event loop. Both build
requests and read answers by the functions here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.errors import SettingsError
from pipeline.ids import anchor_id
from pipeline.index.connection import Connection
from pipeline.index.local_rows import arrays_of
from pipeline.index.local_scan import LocalScan
from pipeline.index.oversampling import Oversampling
from pipeline.index.question import matching, read_consistency, search_params
from pipeline.index.types import (
    AnchorsAsked,
    Asked,
    CountAsked,
    Hit,
    PayloadsAsked,
    VectorsAsked,
    WindowsAsk,
    WindowsAsked,
)
from pipeline.settings_index import IndexSettings

LIVE: tuple[tuple[str, Any], ...] = (("live", True), ("kind", "segment"))
ANCHOR_FIELDS = ["asset_id", "generation"]
LOOKED_AT_FOR_S = 60.0


class Asker:
    """Of one collection. Every method raises IndexUnavailable."""

    def __init__(self, connection: Connection, settings: IndexSettings, name: str) -> None:
        self._call = connection.call
        self._local = connection.local
        self._settings = settings
        self._name = name
        self._oversampling = Oversampling(connection, settings, name)
        self._known: dict[str, q.PayloadIndexInfo] = {}
        self._looked_at = -LOOKED_AT_FOR_S
        self._words_seen = False
        self._scan = LocalScan()

    def ask(self, asked: Asked) -> Any:
        """The answer that the record says. Raises SettingsError for a condition on a field that
        this collection has no index for."""
        match asked:
            case WindowsAsked(asks):
                self.check_indexed(asks)
                return self._windows(asks)
            case AnchorsAsked(asset_ids):
                with self._call("reading anchors") as client:
                    found = client.retrieve(
                        self._name, list(map(anchor_id, asset_ids)), with_payload=ANCHOR_FIELDS
                    )
                return generations_of(found)
            case VectorsAsked(point_ids):
                with self._call("reading vectors") as client:
                    found = client.retrieve(
                        self._name, list(point_ids), with_payload=False, with_vectors=True
                    )
                return vectors_of(found)
            case PayloadsAsked(point_ids):
                with self._call("reading payloads") as client:
                    found = client.retrieve(self._name, list(point_ids), with_payload=True)
                return payloads_of(found)
            case CountAsked():
                with self._call("counting") as client:
                    if self._local and (arrays := arrays_of(client, self._name)) is not None:
                        return self._scan.live_segments(arrays)
                    counted = client.count(
                        self._name, count_filter=matching(LIVE[:1]), exact=self._local
                    )
                return counted.count

    def _windows(self, asks: Sequence[WindowsAsk]) -> list[list[Hit]]:
        if self._local:
            with self._call("searching") as client:
                arrays = arrays_of(client, self._name)
                named = {ask.vector_name for ask in asks if ask.vector is not None}
                if arrays is not None and arrays.vectors.keys() >= named:
                    return self._scan.hits(arrays, asks)
        alone = [ask for ask in asks if not ask.per_asset]
        batch: list[list[Hit]] = []
        if alone:
            requests = [self._request(ask) for ask in alone]
            with self._call("searching") as client:
                answers = self._batch(client, requests)
            batch = [hits_of(answer.points) for answer in answers]
        together = iter(batch)
        return [self._grouped(ask) if ask.per_asset else next(together) for ask in asks]

    def _batch(
        self, client: QdrantClient, requests: list[q.QueryRequest]
    ) -> Sequence[q.QueryResponse]:
        consistency = read_consistency(self._settings)
        if self._local or self._settings.prefer_grpc:
            return client.query_batch_points(self._name, requests, consistency=consistency)
        # The call that the line above would make, which copies each vector number by number first.
        by_rest = client.http.search_api
        asked = batch_request(self._name, requests, consistency)
        return by_rest.query_batch_points(**asked).result or ()

    def _grouped(self, ask: WindowsAsk) -> list[Hit]:
        with self._call("searching by asset") as client:
            answer = client.query_points_groups(
                self._name,
                "asset_id",
                limit=ask.limit,
                group_size=ask.per_asset,
                consistency=read_consistency(self._settings),
                **grouped_request(self._request(ask)),
            )
        return hits_of_groups(answer)

    def _request(self, ask: WindowsAsk) -> q.QueryRequest:
        oversampling = 1.0 if ask.exact else self.oversampling()
        return request_of(ask, search_params(self._settings, oversampling, exact=ask.exact))

    def oversampling(self) -> float:
        """What fits the collection's quantization, whose candidates are scored anew in full."""
        return self._oversampling.now()

    def check_indexed(self, asks: Iterable[WindowsAsk]) -> None:
        """Raises SettingsError that names the field which this collection was not made to be
        filtered by."""
        fields = {one.field: one for ask in asks for one in ask.where}
        for name, one in fields.items():
            if not self.has_index(name, prefix=one.prefix is not None):
                raise SettingsError(
                    f"Collection {self._name!r} cannot be filtered by {name}"
                    f"{' prefixes' if one.prefix is not None else ''}: it has no such index.",
                    remedy="`sensedex rebuild` makes one that has, without any model.",
                )

    def has_index(self, field: str, *, prefix: bool = False) -> bool:
        """Whether searches can be narrowed by the field. In local mode by any, without an index,
        where the points have it: of `words` the first point says so."""
        if self._local:
            self._words_seen = self._words_seen or (field == "words" and self._local_words())
            return field != "words" or self._words_seen
        if time.monotonic() - self._looked_at >= LOOKED_AT_FOR_S:
            with self._call("reading the collection") as client:
                self._known = client.get_collection(self._name).payload_schema
            self._looked_at = time.monotonic()
        return indexed(self._known, field, prefix=prefix)

    def _local_words(self) -> bool:
        with_words = matching(LIVE)
        with_words.must_not = [q.IsEmptyCondition(is_empty=q.PayloadField(key="words"))]
        with self._call("looking for words") as client:
            if (arrays := arrays_of(client, self._name)) is not None:
                return self._scan.has_values(arrays, "words")
            found, _ = client.scroll(
                self._name, scroll_filter=with_words, limit=1, with_payload=False
            )
        return bool(found)


def indexed(known: Mapping[str, q.PayloadIndexInfo], field: str, *, prefix: bool) -> bool:
    """By what a server says of the collection."""
    found = known.get(field)
    return found is not None and (not prefix or bool(getattr(found.params, "prefix", None)))


def request_of(ask: WindowsAsk, params: q.SearchParams | None) -> q.QueryRequest:
    """One of a batch."""
    vector = None if ask.vector is None else ask.vector.astype(np.float32).tolist()
    return q.QueryRequest(
        query=vector,
        using=None if vector is None else ask.vector_name,
        filter=matching(LIVE, ask.among, ask.where),
        params=None if vector is None else params,
        limit=ask.limit,
        with_payload=list(ask.fields) or True,
    )


def batch_request(
    name: str, requests: list[q.QueryRequest], consistency: q.ReadConsistency | None
) -> dict[str, Any]:
    """What the client's own REST interface is called with."""
    searches = q.QueryRequestBatch(searches=requests)
    return {
        "collection_name": name, "consistency": consistency, "query_request_batch": searches,
    }  # fmt: skip


def grouped_request(request: q.QueryRequest) -> dict[str, Any]:
    """The same as arguments of the client's call for groups."""
    return {
        "query": request.query,
        "using": request.using,
        "query_filter": request.filter,
        "search_params": request.params,
        "with_payload": request.with_payload,
    }


def hits_of(points: Iterable[q.ScoredPoint]) -> list[Hit]:
    """In their order."""
    return [Hit(str(point.id), point.score, point.payload or {}) for point in points]


def hits_of_groups(answer: q.GroupsResult) -> list[Hit]:
    """Group by group, the best first."""
    return [hit for group in answer.groups for hit in hits_of(group.hits)]


def generations_of(anchors: Iterable[q.Record]) -> dict[str, str]:
    """By asset, of anchors that name both their asset and a generation."""
    told = (anchor.payload or {} for anchor in anchors)
    named = ((p.get("asset_id"), p.get("generation")) for p in told)
    return {asset: generation for asset, generation in named if asset and generation}


def payloads_of(points: Iterable[q.Record]) -> dict[str, dict[str, Any]]:
    """By point."""
    return {str(point.id): dict(point.payload or {}) for point in points}


def vectors_of(points: Iterable[q.Record]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """(D,) by their names, by point."""
    return {
        str(point.id): {n: np.asarray(v, np.float32) for n, v in (point.vector or {}).items()}  # type: ignore[union-attr]
        for point in points
    }
