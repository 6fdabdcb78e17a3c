"""A server that is killed in the middle of its own work: building the graph."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable
from pipeline.index.building import Progress
from pipeline.index.collections import Collections, open_collections
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings_index import IndexSettings
from tests.server.nodes import settings_of
from tests.server.readers import load_alike
from tests.support.invented_assets import SPACES, unit
from tests.support.real_qdrant import QdrantNodes

SEGMENTS = {f"{n}.mp4": 600 for n in range(20)}
ALL = sum(SEGMENTS.values())
ASKED = [(f"{n}.mp4", 30 * n) for n in range(20)]


def slow_to_build(settings: IndexSettings) -> IndexSettings:
    return settings.model_copy(update={"hnsw_m": 64, "hnsw_ef_construct": 800})


def build_of_few(collections: Collections) -> None:
    """Vectors of eight numbers get a graph as well."""
    with collections.connection.call("lowering the threshold") as client:
        client.update_collection(
            "media-1", optimizers_config=q.OptimizersConfigDiff(indexing_threshold=10)
        )
    collections.build_graph("media-1")


def is_at_work(collections: Collections) -> bool:
    with collections.connection.call("looking") as client:
        return bool(client.get_optimizations("media-1").running)


@pytest.mark.timeout(600)
def test_a_kill_in_the_middle_of_optimisation_loses_nothing(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    settings = slow_to_build(settings_of(node, grpc=grpc))
    first = node.nodes[0]
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_alike(index, tmp_path, SEGMENTS, "g1", 1)
    killed_at_work = 0
    with open_collections(settings) as collections:
        build_of_few(collections)
    for _ in range(2):
        with open_collections(settings) as collections:
            until = time.monotonic() + 10
            while not (at_work := is_at_work(collections)) and time.monotonic() < until:
                time.sleep(0.02)
        killed_at_work += at_work
        first.kill()
        first.start()
        with open_index(settings) as index:
            all_is_found(index, "g1")
    assert killed_at_work, "it was built before it could be killed"
    with open_collections(settings) as collections, open_index(settings) as index:
        load_alike(index, tmp_path, SEGMENTS, "g2", 2)
        said: list[Progress] = []
        collections.wait_built("media-1", said.append)
        assert said[-1].points == ALL + len(SEGMENTS)
        found = collections.information("media-1")
        assert found.indexed_vectors_count
        all_is_found(index, "g2")


def all_is_found(index: VectorIndex, generation: str) -> None:
    until = time.monotonic() + 10
    while True:  # gRPC looks for a server that was away once a second
        try:
            counted = (index.count(), index.count(live_only=False), index.count_assets())
            break
        except IndexUnavailable:
            assert time.monotonic() < until
    assert counted == (ALL, ALL, len(SEGMENTS))
    for key, number in ASKED:
        [best] = index.query("vision", unit(key, number), 1)
        named = best.payload["key"], best.payload["segment_index"], best.payload["generation"]
        assert named == (key, number, generation)
