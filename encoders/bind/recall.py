"""Recall at k with what stands beside it: an interval of confidence, and chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InputError

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Recall:
    """`share` of queries that had a right answer among the first `k`; `low` and `high` are Wilson's
    95 % interval; `chance` is what answers in any order would reach."""

    k: int
    queries: int
    share: float
    low: float
    high: float
    chance: float

    def __str__(self) -> str:
        return (
            f"recall@{self.k} {self.share:.3f} ({self.low:.3f} to {self.high:.3f}, "
            f"chance {self.chance:.3f}, {self.queries} queries)"
        )


def recalls(
    queries: NDArray[np.float32],
    answers: NDArray[np.float32],
    query_is: Sequence[int],
    answer_is: Sequence[int],
    ks: Sequence[int] = (1, 5, 10),
) -> tuple[Recall, ...]:
    """(Q, D) and (A, D) unit vectors; an answer is right where it has the query's number.

    Ties count against: a right answer comes after all others of its score. Raises InputError where
    there are no queries, or one that has no right answer at all.
    """
    asked, there = np.asarray(query_is), np.asarray(answer_is)
    if len(asked) != len(queries) or len(there) != len(answers) or not len(asked):
        raise InputError(
            f"{len(queries)} queries with {len(asked)} numbers, {len(answers)} answers with "
            f"{len(there)}.",
            remedy="Give a number for each, and a query at least.",
        )
    right = asked[:, None] == there[None]
    if not right.any(1).all():
        raise InputError("A query has no right answer.", remedy="Leave it out.")
    scores = queries @ answers.T
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    rank = ((scores >= best) & ~right).sum(1)
    return tuple(_recall(k, rank, right) for k in ks)


def wilson(found: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `found` in `count` (Wilson, 1927)."""
    share = found / count
    middle = share + Z_95**2 / (2 * count)
    reach = Z_95 * math.sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    whole = 1 + Z_95**2 / count
    return (middle - reach) / whole, (middle + reach) / whole


def _recall(k: int, rank: NDArray[np.int64], right: NDArray[np.bool_]) -> Recall:
    found, count = int((rank < k).sum()), len(rank)
    low, high = wilson(found, count)
    return Recall(k, count, found / count, low, high, _chance(k, right))


def _chance(k: int, right: NDArray[np.bool_]) -> float:
    """The mean over queries of one minus the chance that k drawn answers are all wrong."""
    total = right.shape[1]
    missed = []
    for good in right.sum(1):
        wrong = total - int(good)
        missed.append(math.comb(wrong, k) / math.comb(total, k) if k <= total else 0.0)
    return 1 - float(np.mean(missed))
