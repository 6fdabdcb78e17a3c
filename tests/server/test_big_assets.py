"""An asset of 100,000 segments, the most that one may have, under a new collection's limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.ids import asset_id
from pipeline.index.collections import open_collections
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings import Settings
from tests.server.nodes import settings_of
from tests.server.readers import load_alike
from tests.support.invented_assets import SPACES, unit
from tests.support.real_qdrant import QdrantNodes

FILM = asset_id("media", "film.mp4")
MANY = Settings().decode.max_segments


@pytest.mark.timeout(900)
def test_it_is_flipped_counted_and_removed(node: QdrantNodes, tmp_path: Path) -> None:
    settings = settings_of(node)
    with open_collections(settings) as collections, open_index(settings) as index:
        index.ensure_collection(SPACES)
        limits = collections.information("media-1").config.strict_mode_config
        assert limits is not None
        assert limits.enabled
        load_alike(index, tmp_path, {"film.mp4": MANY, "b.mp4": 3}, "g1", 1)
        assert counts(index) == (MANY + 3, MANY + 3, 2)
        load_alike(index, tmp_path, {"film.mp4": MANY}, "g2", 2)
        assert counts(index) == (MANY + 3, MANY + 3, 2)
        assert index.flipped([FILM]) == {FILM: (2, "g2")}
        [best] = index.query("vision", unit("film.mp4", MANY - 1), 1, exact=True)
        assert (best.payload["segment_index"], best.payload["generation"]) == (MANY - 1, "g2")
        index.sweep_leftovers([FILM], 3)
        assert counts(index) == (MANY + 3, MANY + 3, 2)
        index.remove([FILM], 3)
        assert counts(index) == (3, 3, 1)


def counts(index: VectorIndex) -> tuple[int, int, int]:
    """Live segments, all segments and anchors, counted exactly."""
    return index.count(), index.count(live_only=False), index.count_assets()
