"""From lists of hits to windows in one order: over the vectors of a question, over the questions of
a search, and with the words that were found as such. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.index.types import Hit
from pipeline.search.calibration import share_of
from pipeline.search.request import Ranking

LEAST = 1e-3  # what being first counts for by itself
A_WORD = 2.0  # of a level, or of a standard deviation, for a word that is e times as rare


@dataclass(frozen=True, slots=True)
class FoundList:
    """What one vector found of one question, the best first. Numbers of the list are those of its
    first `base`, by default of all: a later page, which goes deeper, must not change what stands on
    an earlier one. `more` are cosines of windows that other lists found, and this one did not get
    to. `level` takes a cosine to its level in the collection, where that was measured."""

    question: int
    label: str
    vector_name: str
    hits: Sequence[Hit]
    more: Sequence[Hit] = ()
    level: Callable[[float], float] | None = None
    base: int | None = None


@dataclass(frozen=True, slots=True)
class WordList:
    """Windows that hold a word; `holding` is how many of the collection's `segments` do."""

    word: str
    hits: Sequence[Hit]
    holding: int
    segments: int

    @property
    def log_rarity(self) -> float:
        """The logarithm of the share of windows that hold it."""
        return math.log(min(1.0, max(self.holding, 1) / max(self.segments, 1)))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a window answers: the cosine of a question with one of its vectors, and the share of the
    collection whose cosine is lower, where that is known."""

    asked: str
    vector_name: str
    cosine: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class RankedWindow:
    """`order` is what windows are ordered by, and `score` what of it is shown. `words` are those of
    the search that it holds. `why`, the strongest first. `deep`: only below the base of each list.
    """

    point_id: str
    payload: Mapping[str, Any]
    order: float
    score: float
    why: tuple[Evidence, ...]
    words: tuple[str, ...] = ()
    share: float | None = None
    deep: bool = False


@dataclass(slots=True)
class _Gathered:
    payload: Mapping[str, Any] = field(default_factory=dict)
    numbers: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    why: list[Evidence] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    log_rarity: float = 0.0
    deep: bool = True
    best_rank: int = 1_000_000


def ranked(
    lists: Sequence[FoundList], words: Sequence[WordList] = (), *, ranking: Ranking
) -> list[RankedWindow]:
    """All windows of the lists in no order. Of several questions a window has to be found by each,
    and the weakest answer counts. A word counts by how rare it is in the collection (its IDF)."""
    held = any(one.hits for one in words)
    plain = ranking is Ranking.SPREAD and len(lists) == 1 and not held
    number = _NUMBERS[Ranking.COSINE if plain else ranking]
    windows: dict[str, _Gathered] = defaultdict(_Gathered)
    for one in lists:
        numbers = number(one)
        for hit, found in numbers:
            window = windows[hit.point_id]
            window.payload = hit.payload
            window.numbers[one.question].append(found)
            share = None if one.level is None else share_of(one.level(hit.score))
            window.why.append(Evidence(one.label, one.vector_name, hit.score, share))
        for rank, hit in enumerate(one.hits):
            window = windows[hit.point_id]
            window.deep = window.deep and one.base is not None and rank >= one.base
            window.best_rank = min(window.best_rank, rank)
    for each in words:
        for hit in each.hits:
            window = windows[hit.point_id]
            window.payload = hit.payload
            window.words.append(each.word)
            window.deep = False
            window.log_rarity += each.log_rarity
    questions = {one.question for one in lists}
    together = sum if ranking is Ranking.SPREAD else max
    return [
        _window(point, window, together, ranking, plain=plain)
        for point, window in windows.items()
        if len(questions) == 1 or window.numbers.keys() == questions
    ]


def _window(
    point: str,
    window: _Gathered,
    together: Callable[[list[float]], float],
    ranking: Ranking,
    *,
    plain: bool,
) -> RankedWindow:
    weakest = min((together(found) for found in window.numbers.values()), default=None)
    if window.deep and ranking is Ranking.SPREAD and not plain:
        weakest = -LEAST * LEAST * window.best_rank
    order = _with_words(weakest, window.log_rarity if window.words else None, ranking)
    shown = share_of(order) if ranking is Ranking.SHARE and not plain else order
    why = window.why
    if len(why) > 1:
        why = sorted(why, key=lambda one: (-(one.share or 0.0), -one.cosine))
    share = _share(window) if window.why else None
    return RankedWindow(point, window.payload, order, shown, tuple(why), tuple(window.words), share)


def _share(window: _Gathered) -> float | None:
    """Of the strongest evidence; None where one of it was not measured."""
    known = [one.share for one in window.why if one.share is not None]
    return max(known) if len(known) == len(window.why) else None


def _with_words(order: float | None, log_rarity: float | None, ranking: Ranking) -> float:
    """What words add: each e-fold rarer is `A_WORD` more. By it a name that one window in ten
    thousand holds comes before all that is only alike."""
    if log_rarity is None:
        return order or 0.0
    added = -A_WORD * log_rarity
    if ranking is Ranking.COSINE:
        return (order or 0.0) - log_rarity
    return max(order or 0.0, 0.0) + added


def _cosines(one: FoundList) -> list[tuple[Hit, float]]:
    return [(hit, hit.score) for hit in (*one.hits, *one.more)]


def _levels(one: FoundList) -> list[tuple[Hit, float]]:
    """Of a pair that was not measured, as it stands in its list: a guess that stays below what is
    known to be rare."""
    if one.level is not None:
        return [(hit, one.level(hit.score)) for hit in (*one.hits, *one.more)]
    return [(hit, min(found, 3.0)) for hit, found in _spreads(one)]


def _spreads(one: FoundList) -> list[tuple[Hit, float]]:
    """How far each stands out of the list, in units of its spread (z-scores; Montague and Aslam,
    CIKM 2001). Where nothing stands out, the order alone speaks, softly."""
    scores = [hit.score for hit in one.hits[: one.base]]
    spread, low = (float(np.std(scores)), min(scores)) if scores else (0.0, 0.0)
    found = []
    for rank, hit in enumerate((*one.hits, *one.more)):
        out = (hit.score - low) / spread if spread > 0 and hit.score > low else 0.0
        first = LEAST / (rank + 1) if rank < len(scores) else 0.0
        found.append((hit, first + out))
    return found


_NUMBERS: Mapping[Ranking, Callable[[FoundList], list[tuple[Hit, float]]]] = {
    Ranking.COSINE: _cosines,
    Ranking.SHARE: _levels,
    Ranking.SPREAD: _spreads,
}
