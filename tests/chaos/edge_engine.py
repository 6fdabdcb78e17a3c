"""The real engine in this process (`qdrant_edge`) behind those calls of the client that the
stand-in server makes: one shard a collection, aliases in a file.

Its bindings take `True` in a condition for the number 1, which matches no boolean. So fields with
an index of booleans are numbers in the engine, and booleans again on their way out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models as q

DISTANCES = {q.Distance.COSINE: edge.Distance.Cosine, q.Distance.DOT: edge.Distance.Dot}
DONE = q.UpdateResult(operation_id=0, status=q.UpdateStatus.COMPLETED)
# A graph over a few hundred points that takes some tenths of a second to build.
GRAPH = edge.HnswIndexConfig(m=64, ef_construct=1000, full_scan_threshold=1)
OPTIMIZERS = edge.EdgeOptimizersConfig(
    indexing_threshold=1, deleted_threshold=0.01, vacuum_min_vector_number=1
)


class EdgeEngine:
    """What `tests.support.qdrant_server.StandIn` asks of its engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # What it was made with: the engine keeps vectors, not the client's words for them.
        self._made: dict[str, dict[str, Any]] = self._read("collections.json")
        self._aliases: dict[str, str] = self._read("aliases.json")
        self._shards = {name: edge.EdgeShard.load(str(folder / name)) for name in self._made}
        self._changed = set(self._shards)

    def collection_exists(self, name: str) -> bool:
        return self._aliases.get(name, name) in self._shards

    def create_collection(self, name: str, vectors_config: Mapping[str, q.VectorParams]) -> bool:
        vectors = {
            n: edge.EdgeVectorParams(v.size, DISTANCES[v.distance])
            for n, v in vectors_config.items()
        }
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=GRAPH, optimizers=OPTIMIZERS)
        shutil.rmtree(self._folder / name, ignore_errors=True)  # of a process killed right here
        self._shards[name] = edge.EdgeShard.create(str(self._folder / name), config)
        plain = {n: json.loads(v.model_dump_json()) for n, v in vectors_config.items()}
        self._made[name] = {"vectors": plain, "booleans": []}
        self._write("collections.json", self._made)
        return True

    def delete_collection(self, name: str) -> bool:
        self._shards.pop(name).close()
        del self._made[name]
        self._write("collections.json", self._made)
        shutil.rmtree(self._folder / name)
        return True

    def get_collections(self) -> q.CollectionsResponse:
        found = [q.CollectionDescription(name=name) for name in self._shards]
        return q.CollectionsResponse(collections=found)

    def get_aliases(self) -> q.CollectionsAliasesResponse:
        pairs = self._aliases.items()
        found = [q.AliasDescription(alias_name=a, collection_name=c) for a, c in pairs]
        return q.CollectionsAliasesResponse(aliases=found)

    def update_collection_aliases(self, steps: Sequence[Any]) -> bool:
        for step in steps:
            if isinstance(step, q.DeleteAliasOperation):
                del self._aliases[step.delete_alias.alias_name]
            else:
                made = step.create_alias
                self._aliases[made.alias_name] = made.collection_name
        self._write("aliases.json", self._aliases)
        return True

    def get_collection(self, name: str) -> q.CollectionInfo:
        info = self._shard(name).info()
        vectors = self._made[self._aliases.get(name, name)]["vectors"]
        told: dict[str, Any] = {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": info.segments_count,
            "points_count": info.points_count,
            "indexed_vectors_count": info.indexed_vectors_count,
            "payload_schema": {},
            "config": {
                "params": {"vectors": vectors},
                "hnsw_config": {"m": 64, "ef_construct": 1000, "full_scan_threshold": 1},
                "optimizer_config": {
                    "deleted_threshold": 0.01,
                    "vacuum_min_vector_number": 1,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
        }
        return q.CollectionInfo.model_validate(told)

    def create_payload_index(self, name: str, field: str, schema: Any) -> q.UpdateResult:
        kind = q.PayloadSchemaType(schema)
        if kind is q.PayloadSchemaType.BOOL:
            made = self._made[self._aliases.get(name, name)]
            made["booleans"] = sorted({*made["booleans"], field})
            self._write("collections.json", self._made)
            kind = q.PayloadSchemaType.INTEGER
        wanted = getattr(edge.PayloadSchemaType, kind.value.capitalize())
        return self._update(name, edge.UpdateOperation.create_field_index(field, wanted))

    def upsert(
        self, name: str, points: Sequence[q.PointStruct], update_filter: q.Filter | None = None
    ) -> q.UpdateResult:
        """`update_filter` says which points that are there may be written over."""
        taken = [edge.Point(p.id, p.vector, self._in(name, p.payload or {})) for p in points]
        upserted = edge.UpdateOperation.upsert_points(taken, _filter(update_filter))
        return self._update(name, upserted)

    def delete(self, name: str, selector: q.FilterSelector | q.PointIdsList) -> q.UpdateResult:
        if isinstance(selector, q.PointIdsList):
            return self._update(name, edge.UpdateOperation.delete_points(selector.points))
        chosen = _filter(selector.filter)
        return self._update(name, edge.UpdateOperation.delete_points_by_filter(chosen))

    def batch_update_points(self, name: str, steps: Sequence[Any]) -> list[q.UpdateResult]:
        done = []
        for step in steps:
            if isinstance(step, q.UpsertOperation):
                assert isinstance(step.upsert, q.PointsList)
                done.append(self.upsert(name, step.upsert.points, step.upsert.update_filter))
                continue
            if isinstance(step, q.DeleteOperation):
                assert isinstance(step.delete, q.FilterSelector)
                done.append(self.delete(name, step.delete))
                continue
            assert isinstance(step, q.SetPayloadOperation)
            wanted = step.set_payload
            payload = self._in(name, wanted.payload)
            if wanted.points is not None:
                change = edge.UpdateOperation.set_payload(list(wanted.points), payload)
            else:
                change = edge.UpdateOperation.set_payload_by_filter(_filter(wanted.filter), payload)
            done.append(self._update(name, change))
        return done

    def scroll(
        self,
        name: str,
        scroll_filter: q.Filter | None,
        limit: int,
        offset: Any,
        with_payload: Any,
        with_vectors: Any,
    ) -> tuple[list[q.Record], Any]:
        asked = edge.ScrollRequest(
            offset, limit, _filter(scroll_filter), with_payload, with_vectors
        )
        records, following = self._shard(name).scroll(asked)
        return self._out(name, records), None if following is None else str(following)

    def retrieve(
        self, name: str, ids: Sequence[Any], with_payload: Any, with_vectors: Any = False
    ) -> list[q.Record]:
        found = self._shard(name).retrieve(list(ids), with_payload, with_vectors)
        return self._out(name, found)

    def count(self, name: str, count_filter: q.Filter | None) -> q.CountResult:
        asked = edge.CountRequest(True, _filter(count_filter))
        return q.CountResult(count=self._shard(name).count(asked))

    def has_work(self) -> bool:
        """Something was written since the last time that graphs were built."""
        return bool(self._changed)

    def optimize(self, lock: AbstractContextManager[Any]) -> None:
        """Build the graphs of what was written; nothing else may be asked meanwhile."""
        while self._changed:
            with lock:
                self._shards[self._changed.pop()].optimize()

    def _shard(self, name: str) -> Any:
        return self._shards[self._aliases.get(name, name)]

    def _update(self, name: str, change: Any) -> q.UpdateResult:
        try:
            self._shard(name).update(change)
        except Exception as error:  # it has no class of its own
            if "No point with id" not in str(error):
                raise
            raise KeyError(str(error)) from error
        self._changed.add(self._aliases.get(name, name))
        return DONE

    def _in(self, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        booleans = self._made[self._aliases.get(name, name)]["booleans"]
        return {k: int(v) if k in booleans and v is not None else v for k, v in payload.items()}

    def _out(self, name: str, records: Iterable[Any]) -> list[q.Record]:
        booleans = self._made[self._aliases.get(name, name)]["booleans"]
        return [
            q.Record(
                id=str(record.id),
                payload={
                    k: bool(v) if k in booleans and v is not None else v
                    for k, v in (record.payload or {}).items()
                },
                vector=record.vector or None,
            )
            for record in records
        ]

    def _read(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        half = self._folder / f"{name}.new"
        half.write_text(json.dumps(values))
        half.replace(self._folder / name)


def _filter(wanted: q.Filter | None) -> Any:
    if wanted is None:
        return None
    return edge.Filter(must=_conditions(wanted.must), must_not=_conditions(wanted.must_not))


def _conditions(wanted: Any) -> list[Any] | None:
    if wanted is None:
        return None
    listed = wanted if isinstance(wanted, list) else [wanted]
    return [_condition(condition) for condition in listed]


def _condition(wanted: Any) -> Any:
    if isinstance(wanted, q.Filter):
        return _filter(wanted)
    if isinstance(wanted, q.HasIdCondition):
        return edge.HasIdCondition({str(point) for point in wanted.has_id})
    if isinstance(wanted, q.HasVectorCondition):
        return edge.HasVectorCondition(wanted.has_vector)
    if isinstance(wanted, q.FieldCondition) and isinstance(wanted.range, q.Range):
        bounds = wanted.range
        limits = edge.RangeFloat(bounds.gte, bounds.gt, bounds.lte, bounds.lt)
        return edge.FieldCondition(wanted.key, range=limits)
    if isinstance(wanted, q.FieldCondition) and isinstance(wanted.match, q.MatchAny):
        return edge.FieldCondition(wanted.key, match=edge.MatchAny(list(wanted.match.any)))
    if isinstance(wanted, q.FieldCondition) and isinstance(wanted.match, q.MatchValue):
        value = wanted.match.value
        plain = int(value) if isinstance(value, bool) else value
        return edge.FieldCondition(wanted.key, match=edge.MatchValue(plain))
    raise ValueError(f"no such condition here: {wanted!r}")
