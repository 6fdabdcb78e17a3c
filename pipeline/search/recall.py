"""Recall of labelled searches, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline import codec


@dataclass(frozen=True, slots=True)
class SearchRecall:
    """Of labelled searches, how many had a right answer among the first `k`: an asset, or a moment.
    `low` and `high` are Wilson's 95 % interval."""

    what: str
    k: int
    found: int
    queries: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.found / self.queries

    def to_json(self) -> dict[str, Any]:
        return {**codec.to_json(self), "recall": round(self.share, 4)}
