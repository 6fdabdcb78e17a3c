"""What tests of rebuilds begin with, and how they look at a collection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.index.collections import Collections, open_collections
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.prepare import RebuildOptions
from pipeline.settings import Settings
from tests.support.alias_reader import ASSETS
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import SPACES
from tests.support.qdrant_server import StandIn
from tests.support.run_settings import settings_for
from tests.support.small_runs import run_of

OPTIONS = RebuildOptions()
settings_of = partial(settings_for, index__timeout_s=30)


def on_server(server: StandIn, folder: Path, **more: Any) -> Settings:
    return settings_of(folder, index__url=server.url, index__prefer_grpc=False, **more)


def on_served(served: Served, folder: Path, **more: Any) -> Settings:
    """The stand-in by both ways, and a real server where one is named."""
    there = served.settings.model_dump(exclude_defaults=True)
    return settings_of(folder, **{f"index__{n}": v for n, v in there.items()}, **more)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Collections, VectorIndex]]:
    """What there is, and the index that readers and runs use: by the alias."""
    with open_collections(settings.index) as collections:
        index = VectorIndex(collections.connection, settings.index)
        yield collections, index


def indexed(settings: Settings, index: VectorIndex, **more: Any) -> None:
    """The first run."""
    index.ensure_collection(more.get("spaces", SPACES))
    run_of(settings, index, ASSETS, **more)


def points_of(collections: Collections, name: str) -> dict[str, tuple[Any, Any]]:
    """Every point, anchors too: payload and vectors."""
    with collections.connection.call("reading") as client:
        found, _ = client.scroll(name, limit=10_000, with_vectors=True)
    return {str(point.id): (point.payload, point.vector) for point in found}


def assert_same(some: dict[str, tuple[Any, Any]], others: dict[str, tuple[Any, Any]]) -> None:
    """Point for point: payload as it is, vectors but for the last bits."""
    assert some.keys() == others.keys()
    for point, (payload, vectors) in some.items():
        assert payload == others[point][0]
        assert vectors.keys() == others[point][1].keys()
        for name, vector in vectors.items():
            np.testing.assert_allclose(vector, others[point][1][name], atol=1e-5)
