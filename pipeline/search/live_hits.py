"""Asks a collection, and again where an answer fell into the moment of a flip."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
from pipeline.search.generations import in_two_generations, settled

MOST_LOOKS = 5  # each more than the first is a flip that came in between


def live_hits(index: VectorIndex, ask: Callable[[], dict[str, list[Hit]]]) -> dict[str, list[Hit]]:
    """The answer to `ask`, hits by vector name, with one generation of each asset, which was whole
    when it was asked. One question, unless an asset is just being replaced: then its anchor is read
    too, and mostly the question asked once more. Raises IndexUnavailable."""
    before: dict[str, str] = {}
    for _ in range(MOST_LOOKS):
        hits = ask()
        two = in_two_generations(hits)
        after = index.generations(sorted(two)) if two else {}
        found = settled(hits, before, after)
        if not found.unsettled:
            break
        before = after
    return found.hits
