"""The reading rule: of an asset's hits those of one generation are shown, and all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client import models as q

from encoders.modality import Modality
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
from pipeline.search.generations import newest_generations
from pipeline.search.live_hits import live_hits
from pipeline.search.query import Query, QueryTerm
from pipeline.search.searcher import search_index
from tests.support.invented_assets import load, unit

ROOT = Path(__file__).resolve().parents[2]


def hit(asset: str, generation: str, sequence: int, number: int = 0) -> Hit:
    payload = {"asset_id": asset, "generation": generation, "sequence": sequence}
    return Hit(f"{asset}/{generation}/{number}", 0.5, payload)


def of_two_lists(hits: Sequence[Hit]) -> list[Hit]:
    half = len(hits) // 2
    kept = newest_generations({"vision": hits[:half], "audio": hits[half:]})
    assert list(kept) == ["vision", "audio"]
    return [*kept["vision"], *kept["audio"]]


def documented(root_dir: Path, function: str = "one_generation") -> Any:
    """A function that docs/metadata.md gives to other clients."""
    text = (root_dir / "docs/metadata.md").read_text()
    names: dict[str, Any] = {}
    for code in re.findall(r"^def (?:one|whole)_generation.*?\n\n\n", text, flags=re.M | re.S):
        exec(code, names)
    return names[function]


@pytest.fixture(params=["ours", "documented"])
def rule(request: pytest.FixtureRequest, root_dir: Path) -> Callable[[Sequence[Hit]], list[Hit]]:
    return of_two_lists if request.param == "ours" else documented(root_dir)


def test_the_generation_with_the_highest_token_is_shown(
    rule: Callable[[Sequence[Hit]], list[Hit]],
) -> None:
    old, new, other = hit("a", "g9", 4), hit("a", "g1", 5), hit("b", "g1", 1)
    assert rule([old, other, new]) == [other, new]
    assert rule([]) == []


def test_a_generation_that_was_loaded_twice_has_no_gaps(
    rule: Callable[[Sequence[Hit]], list[Hit]],
) -> None:
    twice = [hit("a", "g2", 5, 0), hit("a", "g2", 6, 1), hit("a", "g2", 5, 2)]
    assert rule([*twice, hit("a", "g1", 4)]) == twice


@given(
    st.lists(
        st.builds(hit, st.sampled_from("abc"), st.sampled_from("gh"), st.integers(1, 4)),
        max_size=12,
    )
)
def test_each_asset_keeps_one_generation_and_all_of_it(hits: list[Hit]) -> None:
    kept = of_two_lists(hits)
    assets = {h.payload["asset_id"] for h in hits}
    shown = {(h.payload["asset_id"], h.payload["generation"]) for h in kept}
    assert {asset for asset, _ in shown} == assets
    assert len(shown) == len(assets)
    assert kept == [h for h in hits if (h.payload["asset_id"], h.payload["generation"]) in shown]


def flips(generations: Sequence[str], shards: int) -> list[tuple[frozenset[tuple[str, int]], str]]:
    """The states that an asset goes through while each generation takes the place of the one
    before: which (generation, segment) are live, and what the anchor says. A segment a shard."""
    live = frozenset((generations[0], n) for n in range(shards))
    states = [(live, generations[0])]
    for old, new in pairwise(generations):
        for n in range(shards):
            live |= {(new, n)}
            states.append((live, old))
        states.append((live, new))
        for n in range(shards):
            live -= {(old, n)}
            states.append((live, new))
    return states


class Flipping:
    """An index of one asset whose state moves on between any two questions."""

    def __init__(self, moves: Sequence[int]) -> None:
        self.states = flips(["g1", "g2", "g3"], 3)
        self._moves = iter(moves)
        self._now = 0

    def _next(self) -> tuple[frozenset[tuple[str, int]], str]:
        self._now = min(self._now + next(self._moves, 0), len(self.states) - 1)
        return self.states[self._now]

    def ask(self) -> dict[str, list[Hit]]:
        live = sorted(self._next()[0])
        return {"vision": [hit("a", g, int(g[1]), n) for g, n in live]}

    def generations(self, asset_ids: Sequence[str]) -> dict[str, str]:
        assert list(asset_ids) == ["a"]
        return {"a": self._next()[1]}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_whatever_happens_between_two_looks_one_whole_generation_is_shown(moves: list[int]) -> None:
    index = Flipping(moves)
    found = live_hits(index, index.ask)["vision"]  # type: ignore[arg-type]
    again = Flipping(moves)
    by_others = documented(ROOT, "whole_generation")(
        lambda: again.ask()["vision"], again.generations
    )
    assert by_others == found
    assert len({h.payload["generation"] for h in found}) == 1
    assert len(found) == 3, "a part of a generation"


def test_the_token_alone_would_show_a_part() -> None:
    """Where shards are flipped one after the other: why the anchor is asked."""
    parts = []
    for live, _ in flips(["g1", "g2"], 3):
        hits = [hit("a", g, int(g[1]), n) for g, n in sorted(live)]
        parts.append(len(newest_generations({"": hits})[""]))
    assert parts == [3, 1, 2, 3, 3, 3, 3, 3]


def test_an_asset_that_is_not_being_replaced_costs_one_question() -> None:
    index = Flipping([0])
    asked: list[int] = []

    def ask() -> dict[str, list[Hit]]:
        asked.append(1)
        return index.ask()

    assert len(live_hits(index, ask)["vision"]) == 3  # type: ignore[arg-type]
    assert len(asked) == 1


def test_a_point_that_is_swept_while_it_is_read_is_no_hit() -> None:
    """Of a point that goes between being found and being read, Qdrant leaves what it was grouped
    by, or nothing; the asset is there all the while."""
    torn = [Hit("1", 0.9, {"asset_id": "a"}), Hit("2", 0.8, {}), hit("b", "g1", 1)]
    answers = [torn, [hit("a", "g2", 2), hit("b", "g1", 1)]]
    found = live_hits(Flipping([]), lambda: {"vision": answers.pop(0)})["vision"]  # type: ignore[arg-type]
    assert [h.payload["asset_id"] for h in found] == ["a", "b"]
    assert not answers
    always = live_hits(Flipping([]), lambda: {"vision": torn})["vision"]  # type: ignore[arg-type]
    assert [h.payload["asset_id"] for h in always] == ["b"]


def test_an_anchor_that_is_gone_leaves_the_newest_generation() -> None:
    """Of a collection that something else has written to: no anchor settles it."""
    index = Flipping([])
    index.generations = lambda _: {}  # type: ignore[method-assign]
    hits = {"vision": [hit("a", "g1", 1), hit("a", "g2", 2), hit("b", "g1", 1)]}
    found = live_hits(index, lambda: hits)["vision"]  # type: ignore[arg-type]
    assert [(h.payload["asset_id"], h.payload["generation"]) for h in found] == [
        ("a", "g2"),
        ("b", "g1"),
    ]


def test_a_search_in_the_middle_of_a_flip_shows_the_new_generation(
    index: VectorIndex, tmp_path: Path
) -> None:
    """As a real server is for a moment: the new one is live, and the old one still is."""
    load(index, tmp_path, [("a.mp4", "g1", 2)], 1)
    with index._call("turning the old one on again") as client:
        old, _ = client.scroll(index._name, limit=100, with_payload=True, with_vectors=True)
    load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
    segments = [p for p in old if p.payload and p.payload["kind"] == "segment"]
    _put_back(index, segments)
    assert index.count() == 5
    query = Query((QueryTerm(Modality.TEXT, unit("any")),), ("vision",), 10)
    found = search_index(index, query)
    assert {moment.payload["generation"] for moment in found} == {"g2"}


def _put_back(index: VectorIndex, points: Sequence[Any]) -> None:
    with index._call("turning the old one on again") as client:
        assert isinstance(client, QdrantClient)
        client.upsert(
            index._name,
            [
                q.PointStruct(
                    id=p.id,
                    vector={k: np.asarray(v).tolist() for k, v in p.vector.items()},
                    payload=p.payload,
                )
                for p in points
            ],
        )
