"""Measures search: labelled queries against the live collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from encoders.bind.recall import wilson
from encoders.card import EncoderCard
from pipeline.index.vector_index import VectorIndex
from pipeline.search.labelled import Expected, LabelledQuery, read_queries
from pipeline.search.moments import Moment
from pipeline.search.recall import SearchRecall
from pipeline.search.request import SearchRequest
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Quality:
    """Recall of assets and of moments at each k, and the queries whose moment was not found."""

    shares: tuple[SearchRecall, ...]
    missed: tuple[LabelledQuery, ...]


def measure(
    search: Callable[[SearchRequest], Sequence[Moment]],
    queries: Sequence[LabelledQuery],
    *,
    window_ms: int,
    ks: Sequence[int] = (1, 5),
) -> Quality:
    """Search for every query; `search` gives the best moments first, as `Searcher.search` does."""
    assets, moments = dict.fromkeys(ks, 0), dict.fromkeys(ks, 0)
    missed = []
    for query in queries:
        answers = list(search(query.request))[: max(ks)]
        asset = _first(answers, lambda a, e: a.key == e.key, query)
        moment = _first(answers, lambda a, e: _is_moment(a, e, window_ms), query)
        for k in ks:
            assets[k] += asset < k
            moments[k] += moment < k
        if moment >= max(ks):
            missed.append(query)
    count = len(queries)
    shares = [_recall("asset", k, assets[k], count) for k in ks]
    shares += [_recall("moment", k, moments[k], count) for k in ks]
    return Quality(tuple(shares), tuple(missed))


def measure_index(
    settings: Settings,
    index: VectorIndex,
    cards: Sequence[EncoderCard],
    on_search: Callable[[float], None] = lambda _: None,
) -> tuple[SearchRecall, ...]:
    """Ask an open index what `search.queries` lists; nothing where it names no list. `on_search` is
    told the seconds of each search, from the question to its moments.

    Raises SettingsError, and as a search does."""
    if settings.search.queries is None:
        return ()
    queries = read_queries(settings.search.queries)
    searcher = Searcher(index, cards, settings)

    def search(request: SearchRequest) -> Sequence[Moment]:
        began = time.perf_counter()
        found = searcher.search(request)
        on_search(time.perf_counter() - began)
        return found

    return measure(search, queries, window_ms=settings.decode.window_ms).shares


def _recall(what: str, k: int, found: int, queries: int) -> SearchRecall:
    low, high = wilson(found, queries)
    return SearchRecall(what, k, found, queries, round(low, 4), round(high, 4))


def _first(
    answers: Sequence[Moment], right: Callable[[Moment, Expected], bool], query: LabelledQuery
) -> int:
    """The place of the first right answer, from 0; beyond the last where there is none."""
    places = (i for i, a in enumerate(answers) if any(right(a, e) for e in query.expected))
    return next(places, 1_000_000)


def _is_moment(answer: Moment, expected: Expected, window_ms: int) -> bool:
    if answer.key != expected.key:
        return False
    if expected.start_ms is None or expected.end_ms is None:
        return True
    near_start = abs(answer.start_ms - expected.start_ms) <= window_ms
    return near_start and abs(answer.end_ms - expected.end_ms) <= window_ms
