"""What a real server refuses is told by its kind: as tests/pipeline/test_qdrant_errors.py has them,
those that a test can make a server say. Keys and a full disk: test_access.py; one that is slow:
test_between.py."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models as q

from pipeline.errors import SensedexError, Transient
from pipeline.ids import asset_id
from pipeline.index.errors import SENTENCES
from pipeline.index.refusals import Refusal
from pipeline.index.types import Anchor
from pipeline.index.vector_index import VectorIndex, open_index
from tests.server.nodes import settings_of, started
from tests.support.invented_assets import SPACES, live, load, unit, whole
from tests.support.real_qdrant import QdrantNodes

PHYSICAL = "media-1"
NOBODY = [str(uuid.UUID(int=n)) for n in range(6_000)]
FIELD = q.FieldCondition(key="mime", match=q.MatchValue(value="image/png"))  # has no index


def ask(index: VectorIndex, what: Callable[[Any], Any]) -> None:
    with index._call("asking") as client:
        what(client)


def flip_to_nothing(index: VectorIndex) -> None:
    lost = asset_id("media", "lost.mp4")
    index.flip([Anchor(lost, "g1", tuple(NOBODY[:2]), {}, {"kind": "asset", "asset_id": lost})], 3)


ASKED: dict[str, tuple[Refusal, Callable[[VectorIndex], object]]] = {
    "more than the limit": (
        Refusal.LIMIT,
        lambda i: ask(i, lambda c: c.scroll("media", limit=20_000)),
    ),
    "a filter without an index": (
        Refusal.LIMIT,
        lambda i: ask(i, lambda c: c.scroll("media", q.Filter(must=[FIELD]))),
    ),
    "a condition too long": (
        Refusal.LIMIT,
        lambda i: i.query("vision", unit("any"), 3, among=NOBODY),
    ),
    "a vector of another dimension": (
        Refusal.OTHER_VECTORS,
        lambda i: i.query("vision", np.ones(5, np.float32), 3),
    ),
    "a vector of another name": (
        Refusal.OTHER_VECTORS,
        lambda i: i.query("smell", unit("any"), 3),
    ),
    "a point that is not there": (Refusal.POINT_GONE, flip_to_nothing),
    "what is there already": (
        Refusal.REFUSED,
        lambda i: ask(i, lambda c: c.create_collection(PHYSICAL, vectors_config={})),
    ),
    "no such collection": (
        Refusal.NO_COLLECTION,
        lambda i: ask(i, lambda c: c.scroll("nothing", limit=1)),
    ),
}


def is_told_as(error: SensedexError, refusal: Refusal) -> None:
    sentence = SENTENCES[refusal]
    assert type(error) is sentence.error, error
    assert error.code == (sentence.code or type(error).default_code), error
    assert error.remedy == sentence.remedy
    assert "\n" not in error.message


def test_refusals_are_told_by_their_kind(node: QdrantNodes, grpc: bool, tmp_path: Path) -> None:
    with open_index(settings_of(node, grpc=grpc)) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        for what, (refusal, do) in ASKED.items():
            with pytest.raises(SensedexError) as raised:
                do(index)
            is_told_as(raised.value, refusal)
            assert live(index) == {"a.mp4": whole("g1", 3)}, what
        node.nodes[0].kill()
        with pytest.raises(SensedexError) as raised:
            index.count()
        is_told_as(raised.value, Refusal.AWAY)


@pytest.mark.parametrize("limit", ["write_rate_limit", "read_rate_limit"])
def test_a_rate_limit_says_how_long_to_wait(
    node: QdrantNodes, grpc: bool, limit: str, tmp_path: Path
) -> None:
    with open_index(settings_of(node, grpc=grpc)) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        limited = q.StrictModeConfig(enabled=True, **{limit: 100})  # a minute
        ask(index, lambda c: c.update_collection(PHYSICAL, strict_mode_config=limited))

        def until_it_is_refused() -> None:
            for number in range(2, 200):
                if limit == "write_rate_limit":
                    load(index, tmp_path, [("b.mp4", f"g{number}", 3)], number)
                else:
                    index.query("vision", unit("any"), 3)

        with pytest.raises(Transient) as raised:
            until_it_is_refused()
        is_told_as(raised.value, Refusal.RATE_LIMIT)
        assert 0 < raised.value.retry_after_s <= 60


def test_a_request_too_large_says_so(tmp_path: Path) -> None:
    """By REST alone: a server's gRPC takes any."""
    with started(tmp_path / "node", QDRANT__SERVICE__MAX_REQUEST_SIZE_MB="1") as nodes:
        settings = settings_of(nodes, grpc=False).model_copy(update={"upsert_points": 4_096})
        with open_index(settings) as index:
            index.ensure_collection(SPACES)
            with pytest.raises(SensedexError) as raised:
                load(index, tmp_path, [("a.mp4", "g1", 3_000)], 1, batch_rows=3_000)
            is_told_as(raised.value, Refusal.TOO_LARGE)
