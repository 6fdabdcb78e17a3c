"""Holds what a collection on a server has against what the settings and the encoders want. Pure.

A setting that is empty asks for the server's own, whatever that is, and is never missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models as q

from pipeline.index.new_collection import (
    DISTANCES,
    INDEXED_FIELDS,
    KNOWS_PREFIX,
    Version,
    graph_of,
    quantization_of,
)
from pipeline.index.strict_mode import LIMITS
from pipeline.payload_schema import FIELDS
from pipeline.records import VectorSpace
from pipeline.settings_index import IndexSettings

FOUND_BY_PREFIX = frozenset(field.name for field in FIELDS if field.prefixes)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a collection is not what a new one would be. `by_rebuild`: `sensedex
    rebuild` would change it, from what is kept."""

    what: str
    has: str
    wants: str
    by_rebuild: bool = True

    def __str__(self) -> str:
        return f"{self.what} is {self.has}, not {self.wants}"


def differences(
    found: q.CollectionInfo,
    settings: IndexSettings,
    spaces: Sequence[VectorSpace],
    version: Version | None = None,
) -> list[Difference]:
    """In the order of what is asked first: vectors, graph, copies, limits, payload indexes.
    `version` is the server's, of which some cannot have all that is wanted."""
    config = found.config
    params = config.params.vectors
    vectors = params if isinstance(params, dict) else {}
    wanted: list[tuple[str, Any, Any]] = [
        ("quantization", _kind(config.quantization_config), _kind(quantization_of(settings))),
        ("hnsw_m", config.hnsw_config.m, graph_of(settings).m),
        ("hnsw_ef_construct", config.hnsw_config.ef_construct, graph_of(settings).ef_construct),
        ("shards", config.params.shard_number, settings.shards),
        ("replicas", config.params.replication_factor, settings.replicas),
        (
            "write_consistency",
            config.params.write_consistency_factor,
            settings.write_consistency,
        ),
        ("on_disk_payload", config.params.on_disk_payload, settings.on_disk_payload),
    ]
    return [
        *_of_vectors(vectors, settings, spaces),
        *(
            Difference(what, _said(has), _said(wants))
            for what, has, wants in wanted
            if wants is not None and has != wants
        ),
        *_of_limits(config.strict_mode_config, settings),
        *_of_indexes(found, settings, version),
    ]


def summary(found: q.CollectionInfo) -> str:
    """What a collection is made with, in a line."""
    config, params = found.config, found.config.params
    vectors = params.vectors if isinstance(params.vectors, dict) else {}
    kept = {(one.datatype or q.Datatype.FLOAT32).value.lower() for one in vectors.values()}
    limited = config.strict_mode_config is not None and config.strict_mode_config.enabled
    return ", ".join(
        [
            *sorted(kept),
            f"quantization {_kind(config.quantization_config)}",
            f"hnsw_m {config.hnsw_config.m}",
            f"hnsw_ef_construct {config.hnsw_config.ef_construct}",
            f"shards {params.shard_number or 1}",
            f"replicas {params.replication_factor or 1}",
            f"payload {'on disk' if params.on_disk_payload else 'in memory'}",
            f"strict mode {'on' if limited else 'off'}",
        ]
    )


def _of_vectors(
    there: dict[str, q.VectorParams], settings: IndexSettings, spaces: Sequence[VectorSpace]
) -> Iterator[Difference]:
    for space in spaces:
        name = f"vector {space.vector_name}"
        one = there.get(space.vector_name)
        if one is None or one.size != space.dimension:
            has = "not there" if one is None else f"of {one.size} dimensions"
            yield Difference(name, has, f"of {space.dimension}, as {space.encoder} gives", False)
            continue
        if one.distance is not DISTANCES[settings.distance]:
            yield Difference(f"distance of {name}", one.distance.value.lower(), settings.distance)
        datatype = (one.datatype or q.Datatype.FLOAT32).value.lower()
        if datatype != settings.datatype:
            yield Difference(f"datatype of {name}", datatype, settings.datatype)
        if settings.on_disk is not None and bool(one.on_disk) != settings.on_disk:
            yield Difference(
                f"on_disk of {name}", _said(bool(one.on_disk)), _said(settings.on_disk)
            )


def _of_limits(
    there: q.StrictModeConfigOutput | None, settings: IndexSettings
) -> Iterator[Difference]:
    if not settings.strict_mode:
        return
    if there is None or not there.enabled:
        yield Difference("strict_mode", "off", "on")
        return
    for limit in LIMITS:
        has = getattr(there, limit.name)
        if has != limit.value:
            yield Difference(f"strict mode's {limit.name}", _said(has), _said(limit.value))


def _of_indexes(
    found: q.CollectionInfo, settings: IndexSettings, version: Version | None
) -> Iterator[Difference]:
    wanted_on_disk = settings.on_disk_payload_indexes
    by_prefix = FOUND_BY_PREFIX if version is not None and version >= KNOWS_PREFIX else frozenset()
    others = []
    for field, wants in INDEXED_FIELDS.items():
        one = found.payload_schema.get(field)
        if one is None or one.data_type is not wants:
            has = "missing" if one is None else f"of kind {one.data_type.value}"
            yield Difference(f"the payload index of {field}", has, f"of kind {wants.value}")
            continue
        if field in by_prefix and not getattr(one.params, "prefix", None):
            yield Difference(f"the payload index of {field}", "without prefixes", "with them")
        if wanted_on_disk is not None:
            on_disk = bool(getattr(one.params, "on_disk", None))
            others += [field] if on_disk != wanted_on_disk else []
    if others:
        which = "all payload indexes" if len(others) == len(INDEXED_FIELDS) else ", ".join(others)
        yield Difference(
            f"on_disk_payload_indexes ({which})", _said(not wanted_on_disk), _said(wanted_on_disk)
        )


def _kind(quantization: q.QuantizationConfig | None) -> str:
    """As `index.quantization` says it."""
    match quantization:
        case q.ScalarQuantization():
            return "int8"
        case q.BinaryQuantization():
            return "binary"
        case q.ProductQuantization():
            return "product"
        case q.TurboQuantization():
            return "turbo"
    return "none"


def _said(value: Any) -> str:
    if value is None:
        return "the server's own"
    return str(value).lower() if isinstance(value, (bool, str)) else f"{value:,}"
