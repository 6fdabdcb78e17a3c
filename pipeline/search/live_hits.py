"""Asks a collection, and again where an answer fell into the moment of a flip."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from pipeline.index.types import AnchorsAsked, Asked, Hit, WindowsAsk, WindowsAsked
from pipeline.index.vector_index import VectorIndex
from pipeline.search.generations import in_two_generations, settled, whole_hits

MOST_HITS = 10_000  # what the limits of our collections let one search ask for
MOST_LOOKS = 5  # each more than the first is a flip that came in between


def live_answers(asks: Sequence[WindowsAsk]) -> Generator[Asked, Any, list[list[Hit]]]:
    """Hits for each of the questions, with one generation of each asset, which was whole when it
    was asked. One request, unless an asset is just being replaced: then its anchor is read too, and
    mostly the questions asked once more. Yields what is to be asked, and is sent the answers."""
    before: dict[str, str] = {}
    for _ in range(MOST_LOOKS):
        answers = yield WindowsAsked(tuple(asks))
        given = {str(number): found for number, found in enumerate(answers)}
        hits = whole_hits(given)
        two = in_two_generations(hits)
        after = (yield AnchorsAsked(tuple(sorted(two)))) if two else {}
        found = settled(hits, before, after)
        if not found.unsettled and hits == given:
            break
        before = after
    return list(found.hits.values())


def live_hits(index: VectorIndex, ask: Callable[[], dict[str, list[Hit]]]) -> dict[str, list[Hit]]:
    """The same of any question, by `ask`: hits by vector name. Raises IndexUnavailable."""
    before: dict[str, str] = {}
    for _ in range(MOST_LOOKS):
        given = ask()
        hits = whole_hits(given)
        two = in_two_generations(hits)
        after = index.generations(sorted(two)) if two else {}
        found = settled(hits, before, after)
        if not found.unsettled and hits == given:
            break
        before = after
    return found.hits
