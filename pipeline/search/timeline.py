"""A question over one asset: what each of its windows answers, by vector."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pipeline.index.conditions import Condition
from pipeline.index.types import Asked, WindowsAsk
from pipeline.search.live_hits import live_answers
from pipeline.search.query import Query

MOST_WINDOWS = 10_000  # what the limits of our collections let one search ask for

Scores = dict[str, dict[str, float]]


def timeline_steps(query: Query, asset_id: str) -> Generator[Asked, Any, Scores]:
    """By point, the cosine with each vector that was asked. Each required term is a question of its
    own, and the weakest of them counts. Yields what is to be asked (`steps.py`)."""
    owner = Condition("asset_id", equals=asset_id)
    asks = [
        WindowsAsk(name, question.vector, MOST_WINDOWS, (owner,), exact=True)
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
