"""A search step by step: what is to be asked of the collection, and what is made of the answers.

A generator yields what is to be asked (`pipeline.index.types.Asked`), is sent the answer, and
returns the moments. So one search serves the usual client and the one that is awaited
(`driving.py`), and a test without any. Mostly it asks once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.index.conditions import Condition
from pipeline.index.types import (
    OF_HITS,
    Asked,
    CountAsked,
    Hit,
    PayloadsAsked,
    VectorsAsked,
    WindowsAsk,
)
from pipeline.search.by_asset import NEAREST_PER_ASSET, with_enough_assets, with_windows_of
from pipeline.search.calibration import Calibration
from pipeline.search.duplicates import folded
from pipeline.search.live_hits import MOST_HITS, MOST_LOOKS, live_answers
from pipeline.search.moments import HITS_PER_MOMENT, Moment, assets_in_order, merged_moments
from pipeline.search.query import Query, Question
from pipeline.search.ranking import FoundList, WordList, ranked
from pipeline.search.request import Ranking

BASE_HITS = 50  # by which a list's numbers are made, whatever page is asked for
DEEPER = 4  # times as deep, where a few assets fill the lists
MOST_COMPLETED = 2_000  # windows whose other cosines are asked for; a condition may name 5,000
WORD_HITS = 200  # windows asked for by a word; one that more hold tells little
DEFAULT_RANKING = Ranking.SPREAD


@dataclass(frozen=True, slots=True)
class Found:
    """A page of moments, whether others follow, the ranking they are in, and what a person should
    know about how they were found."""

    moments: tuple[Moment, ...]
    more: bool
    ranking: Ranking
    notes: tuple[str, ...] = ()


Steps = Generator[Asked, Any, Found]
Scores = dict[str, dict[str, float]]


def search_steps(
    query: Query, calibration: Calibration | None = None, *, has_words: bool = True
) -> Steps:
    """Raises SettingsError where terms cancel. `has_words`: whether the collection can be asked for
    words."""
    for _ in range(MOST_LOOKS):
        found = yield from _searched(query, calibration, has_words=has_words)
        if not (query.group and found.moments):
            break
        whole = yield from _whole(found.moments)
        swept = len(found.moments) - len(whole)
        found = replace(found, moments=whole)
        if not swept:
            break
    return found


def _searched(query: Query, calibration: Calibration | None, *, has_words: bool) -> Steps:
    """Together by asset, moments have of their payloads what they were found by alone."""
    questions = query.questions()
    wanted = query.ranking or DEFAULT_RANKING
    notes = []
    several = len(questions) > 1 or len(questions[0].using) > 1 or bool(query.words)
    if wanted is Ranking.SHARE and calibration is None:
        wanted = Ranking.SPREAD
        if several:
            notes.append("Cosines are not calibrated yet; `sensedex calibrate` does it.")
    if query.words and not has_words:
        notes.append(
            "This collection was made without its words; `sensedex rebuild` adds them, and until "
            "then only vectors are searched."
        )
    words = query.words if has_words else ()
    by_word = [_word_ask(query, word) for word in words]
    end = query.offset + query.limit
    # By asset. What is folded leaves gaps, which those of the next page fill.
    first, assets = (query.offset, end) if query.fold_above is None else (0, end + query.limit)
    wanted_hits = NEAREST_PER_ASSET * (assets + 1) if query.group else HITS_PER_MOMENT * end
    depth = max(BASE_HITS, min(wanted_hits, MOST_HITS))
    while True:
        asks = [_ask(query, one, name, depth) for one in questions for name in one.using]
        answers = yield from live_answers([*asks, *by_word])
        lists = _lists(questions, answers[: len(asks)], calibration)
        word_lists = yield from _word_lists(words, answers[len(asks) :])
        if query.group:
            lists = yield from with_enough_assets(lists, asks, assets + 1)
        lists = yield from _completed(query, lists, word_lists)
        windows = ranked(lists, word_lists, ranking=wanted)
        if query.group:
            break
        moments = merged_moments(windows, per_asset=query.per_asset)
        # A long film may fill a list by itself, and has `per_asset` moments.
        cut_off = any(len(one.hits) >= depth for one in lists)
        if len(moments) > end or not cut_off or depth >= MOST_HITS:
            break
        depth = min(depth * DEEPER, MOST_HITS)
    if query.group:
        order = assets_in_order(windows)
        shown = order[first:assets]
        lists = yield from with_windows_of(shown, lists, asks, query.per_asset)
        lists = yield from _completed(query, lists, word_lists)
        windows = ranked(lists, word_lists, ranking=wanted)
        # Of those behind the page it is enough that there is one; folding may bring them onto it.
        behind = frozenset(order[assets + 1 :]) if query.fold_above is None else frozenset()
        moments = merged_moments(windows, per_asset=query.per_asset, without=behind)
        # What an asset has beside does not change which is the first. One that was found only now,
        # since a flip hid it before, is the last.
        places = {asset: place for place, asset in enumerate(order)}
        moments.sort(key=lambda moment: places.get(moment.asset_id, len(order)))
    if query.fold_above is not None and moments:
        moments = yield from _folded(query, moments)
    page, more = _page(query, moments)
    return Found(tuple(page), more, wanted, tuple(notes))


def timeline_steps(query: Query, asset_id: str) -> Generator[Asked, Any, Scores]:
    """By point, the cosine with each vector that was asked. Each required term is a question of its
    own, and the weakest of them counts."""
    owner = Condition("asset_id", equals=asset_id)
    asks = [
        WindowsAsk(name, question.vector, MOST_HITS, (owner,), exact=True)
        for question in query.questions()
        for name in question.using
    ]
    answers = yield from live_answers(asks)
    scores: Scores = {}
    for ask, hits in zip(asks, answers, strict=True):
        for hit in hits:
            of_point = scores.setdefault(hit.point_id, {})
            weakest = min(hit.score, of_point.get(ask.vector_name, hit.score))
            of_point[ask.vector_name] = weakest
    return scores


def _ask(query: Query, question: Question, name: str, depth: int) -> WindowsAsk:
    return WindowsAsk(
        name,
        question.vector,
        depth,
        query.conditions(),
        exact=query.exact,
        fields=_fields(query),
    )


def _word_ask(query: Query, word: str) -> WindowsAsk:
    holds = Condition("words", equals=word)
    where = (*query.conditions(), holds)
    return WindowsAsk("", None, WORD_HITS, where, fields=_fields(query))


def _fields(query: Query) -> tuple[str, ...]:
    """By asset there are many more windows than are shown, and the payloads of these are read
    last."""
    return OF_HITS if query.group else ()


def _word_lists(
    words: Sequence[str], found: Sequence[Sequence[Hit]]
) -> Generator[Asked, Any, list[WordList]]:
    """Of the words that some window holds. As many as were asked for are taken for all of them: a
    word that more hold is common either way."""
    if not any(found):
        return []
    segments: int = yield CountAsked()
    return [
        WordList(word, hits, len(hits), max(segments, len(hits)))
        for word, hits in zip(words, found, strict=True)
        if hits
    ]


def _lists(
    questions: Sequence[Question],
    answers: Sequence[Sequence[Hit]],
    calibration: Calibration | None,
) -> list[FoundList]:
    lists = []
    left = iter(answers)
    for number, question in enumerate(questions):
        for name in question.using:
            level = None
            if calibration is not None and question.modality is not None:
                level = calibration.scale(str(question.modality), name)
            found = next(left)
            lists.append(FoundList(number, question.label, name, found, (), level, BASE_HITS))
    return lists


def _completed(
    query: Query, lists: Sequence[FoundList], word_lists: Sequence[WordList]
) -> Generator[Asked, Any, list[FoundList]]:
    """Each list with the cosines of what the others found: a window's answer to a question is not
    nothing because a hundred others answered better. What a list was told before is not asked for
    again."""
    if len(query.questions()) == 1 and not word_lists:
        return list(lists)
    ids: dict[str, None] = {}
    # In turns, so that what is best by one list is not cut off by the length of another.
    every = [one.hits for one in lists] + [one.hits for one in word_lists]
    for rank in range(max(map(len, every), default=0)):
        ids |= {hits[rank].point_id: None for hits in every if rank < len(hits)}
    some = list(ids)[:MOST_COMPLETED]
    questions = query.questions()
    missing = [[p for p in some if p not in _ids(one)] for one in lists]
    asks = [
        WindowsAsk(
            one.vector_name,
            questions[one.question].vector,
            len(points),
            query.conditions(),
            tuple(points),
            exact=query.exact,
            fields=_fields(query),
        )
        for one, points in zip(lists, missing, strict=True)
        if points
    ]
    answers = iter((yield from live_answers(asks)) if asks else ())
    told = [
        (*_beside(one), *(next(answers) if points else ()))
        for one, points in zip(lists, missing, strict=True)
    ]
    return [
        replace(one, more=sorted(more, key=lambda hit: -hit.score))
        for one, more in zip(lists, told, strict=True)
    ]


def _ids(one: FoundList) -> frozenset[str]:
    return frozenset(hit.point_id for hit in (*one.hits, *one.more))


def _beside(one: FoundList) -> tuple[Hit, ...]:
    """What a list was told beside its hits, some of which it has since found."""
    found = {hit.point_id for hit in one.hits}
    return tuple(hit for hit in one.more if hit.point_id not in found)


def _folded(query: Query, moments: Sequence[Moment]) -> Generator[Asked, Any, list[Moment]]:
    """Of the moments up to this page and as many again: what is folded must not leave gaps."""
    assert query.fold_above is not None
    looked_at = 2 * (query.offset + query.limit) * query.per_asset
    some = moments[: min(looked_at, MOST_COMPLETED)]
    vectors: Mapping[str, Any] = yield VectorsAsked(tuple(m.point_id for m in some))
    return folded(some, vectors, query.fold_above)


def _whole(page: Sequence[Moment]) -> Generator[Asked, Any, tuple[Moment, ...]]:
    """With their payloads in full, without those whose window a flip has swept meanwhile."""
    payloads: Mapping[str, Any] = yield PayloadsAsked(tuple(moment.point_id for moment in page))
    return tuple(
        replace(moment, payload=payloads[moment.point_id])
        for moment in page
        if payloads.get(moment.point_id)
    )


def _page(query: Query, moments: Sequence[Moment]) -> tuple[Sequence[Moment], bool]:
    end = query.offset + query.limit
    if not query.group:
        return moments[query.offset : end], len(moments) > end
    assets = list(dict.fromkeys(moment.asset_id for moment in moments))
    shown = frozenset(assets[query.offset : end])
    return [moment for moment in moments if moment.asset_id in shown], len(assets) > end
