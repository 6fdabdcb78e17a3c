"""What a collection has against what the settings want, and which of it a rebuild would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import models as q

from pipeline.index.difference import Difference, differences, summary
from pipeline.index.new_collection import INDEXED_FIELDS, quantization_of
from pipeline.index.strict_mode import strict_mode
from pipeline.settings_index import IndexSettings
from tests.support.invented_assets import SPACES

WANTED = IndexSettings(url="http://127.0.0.1:1")


def as_wanted() -> q.CollectionInfo:
    """By default, on a server of three nodes."""
    told: dict[str, Any] = {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 2,
        "payload_schema": {
            name: {"data_type": kind.value, "points": 9} for name, kind in INDEXED_FIELDS.items()
        },
        "config": {
            "params": {
                "vectors": {s.vector_name: {"size": 8, "distance": "Cosine"} for s in SPACES},
                "shard_number": 3,
                "replication_factor": 2,
                "write_consistency_factor": 1,
                "on_disk_payload": True,
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "strict_mode_config": strict_mode().model_dump(),
        },
    }
    return q.CollectionInfo.model_validate(told)


def said(found: q.CollectionInfo, **wanted: Any) -> list[str]:
    return [str(one) for one in differences(found, WANTED.model_copy(update=wanted), SPACES)]


def test_what_is_as_it_is_wanted_has_no_difference() -> None:
    assert said(as_wanted()) == []
    assert summary(as_wanted()) == (
        "float32, quantization none, hnsw_m 16, hnsw_ef_construct 100, shards 3, replicas 2, "
        "payload on disk, strict mode on"
    )


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"quantization": "int8"}, "quantization is none, not int8"),
        ({"hnsw_m": 32}, "hnsw_m is 16, not 32"),
        ({"hnsw_ef_construct": 2_000}, "hnsw_ef_construct is 100, not 2,000"),
        ({"shards": 6}, "shards is 3, not 6"),
        ({"replicas": 3}, "replicas is 2, not 3"),
        ({"write_consistency": 2}, "write_consistency is 1, not 2"),
        ({"on_disk_payload": False}, "on_disk_payload is true, not false"),
    ],
)
def test_a_setting_that_has_changed_is_one(wanted: dict[str, Any], says: str) -> None:
    assert said(as_wanted(), **wanted) == [says]


def test_what_each_vector_is_kept_as() -> None:
    assert said(as_wanted(), datatype="float16", distance="dot", on_disk=True)[:3] == [
        "distance of vector vision is cosine, not dot",
        "datatype of vector vision is float32, not float16",
        "on_disk of vector vision is false, not true",
    ]


@pytest.mark.parametrize("quantization", ["none", "int8", "binary", "product", "turbo"])
def test_each_quantization_is_told_from_the_others(quantization: str) -> None:
    settings = WANTED.model_copy(update={"quantization": quantization})
    found = as_wanted()
    found.config.quantization_config = quantization_of(settings)
    assert said(found, quantization=quantization) == []
    other = "int8" if quantization != "int8" else "none"
    assert said(found, quantization=other) == [f"quantization is {quantization}, not {other}"]


def test_limits_that_are_off_or_others() -> None:
    found = as_wanted()
    limits = found.config.strict_mode_config
    assert limits is not None
    limits.max_query_limit = 50_000
    limits.condition_max_size = None
    assert said(found) == [
        "strict mode's max_query_limit is 50,000, not 10,000",
        "strict mode's condition_max_size is the server's own, not 5,000",
    ]
    assert said(found, strict_mode=False) == []
    found.config.strict_mode_config = None
    assert said(found) == ["strict_mode is off, not on"]


def test_payload_indexes_that_are_missing_or_of_another_kind() -> None:
    found = as_wanted()
    del found.payload_schema["tags"]
    found.payload_schema["sequence"].data_type = q.PayloadSchemaType.KEYWORD
    assert said(found) == [
        "the payload index of tags is missing, not of kind keyword",
        "the payload index of sequence is of kind keyword, not of kind integer",
    ]


def test_payload_indexes_that_lie_elsewhere_are_told_in_one_line() -> None:
    found = as_wanted()
    assert said(found, on_disk_payload_indexes=False) == []
    assert said(found, on_disk_payload_indexes=True) == [
        "on_disk_payload_indexes (all payload indexes) is false, not true"
    ]
    for name, index in found.payload_schema.items():
        if name not in ("key", "tags"):
            index.params = q.KeywordIndexParams(type=q.KeywordIndexType.KEYWORD, on_disk=True)
    assert said(found, on_disk_payload_indexes=True) == [
        "on_disk_payload_indexes (key, tags) is false, not true"
    ]


def test_vectors_of_another_encoder_are_nothing_that_a_rebuild_changes() -> None:
    spaces = [replace(SPACES[0], dimension=1024, encoder="big"), *SPACES[1:]]
    spaces.append(replace(SPACES[0], vector_name="clip_text", encoder="clip"))
    assert differences(as_wanted(), WANTED, spaces) == [
        Difference("vector vision", "of 8 dimensions", "of 1024, as big gives", by_rebuild=False),
        Difference("vector clip_text", "not there", "of 8, as clip gives", by_rebuild=False),
    ]
