"""What the stand-in for a Qdrant server says of a collection: what it was made with, with the
server's own values where nothing was asked for, and how far it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models as q

# Of a server of one node.
OWN = {
    "shard_number": 1,
    "replication_factor": 1,
    "write_consistency_factor": 1,
    "on_disk_payload": True,
}
THRESHOLD_KB = 10_000


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration after a change, which names only what is to be another."""
    after = dict(before)
    for name, value in change.items():
        old = after.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            after[name] = merged(old, value)
        elif value is not None:
            after[name] = value
    return after


def as_configured(
    found: q.CollectionInfo, made: Mapping[str, Any], indexes: Mapping[str, Any]
) -> q.CollectionInfo:
    """`made` is the body of the request that made it, with what was changed since; `indexes` are
    the schemas of its payload indexes as they were asked for."""
    told = found.model_dump(mode="json")
    config = told["config"]
    for name, own in OWN.items():
        config["params"][name] = own if made.get(name) is None else made[name]
    config["hnsw_config"] = merged(config["hnsw_config"], made.get("hnsw_config") or {})
    config["optimizer_config"]["indexing_threshold"] = THRESHOLD_KB
    config["optimizer_config"] = merged(
        config["optimizer_config"], made.get("optimizers_config") or {}
    )
    config["quantization_config"] = made.get("quantization_config")
    config["strict_mode_config"] = made.get("strict_mode_config")
    config["metadata"] = made.get("metadata")
    told["payload_schema"] = {
        name: {
            "data_type": kind_of(schema),
            "params": schema if isinstance(schema, Mapping) else None,
            "points": found.points_count or 0,
        }
        for name, schema in indexes.items()
    }
    return q.CollectionInfo.model_validate(told)


def kind_of(schema: Any) -> str:
    """Of a payload index, which is asked for by its kind alone or with parameters."""
    return str(schema["type"] if isinstance(schema, Mapping) else schema)


def optimizations(queued_points: int) -> q.OptimizationsResponse:
    """Nothing is at work; so many points wait for it."""
    waiting = 1 if queued_points else 0
    return q.OptimizationsResponse(
        summary=q.OptimizationsSummary(
            queued_optimizations=waiting,
            queued_segments=waiting,
            queued_points=queued_points,
            idle_segments=1 - waiting,
        ),
        running=[],
    )
