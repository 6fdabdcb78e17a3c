"""Whether searches find what they should: a labelled set of queries against the live collection.

A line of `queries.jsonl` is one query and every answer that is right:

    {"query": "a cow", "modality": "text",
     "expected": [{"key": "videos/farm.mp4", "start_ms": 0, "end_ms": 5000}]}

`modality` is text, vision, audio or video; but for text, `query` is a file, relative to the list.
Without times any moment of the asset is right; with them, a moment whose start and end each lie
within one window of the expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.bind.recall import wilson
from pipeline.errors import SettingsError
from pipeline.moments import Moment
from pipeline.search import Asked

KINDS = {"text": "words", "vision": "picture", "audio": "sound", "video": "video"}


@dataclass(frozen=True, slots=True)
class Expected:
    """An answer that is right; a span is given whole or not at all."""

    key: str
    start_ms: int | None = None
    end_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.start_ms is None) != (self.end_ms is None):
            raise ValueError("start_ms and end_ms are given together")


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """One line of the list, with what it asks."""

    query: str
    modality: str
    asked: Asked
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the queries were answered among the first `k`, and Wilson's 95 % interval."""

    what: str
    k: int
    found: int
    queries: int

    @property
    def share(self) -> float:
        return self.found / self.queries

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.found, self.queries)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "what": self.what,
            "k": self.k,
            "found": self.found,
            "queries": self.queries,
            "recall": round(self.share, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """Recall of assets and of moments at each k, and the queries whose moment was not found."""

    shares: tuple[Share, ...]
    missed: tuple[LabelledQuery, ...]


def read_queries(path: Path, over: tuple[str, ...] = ()) -> list[LabelledQuery]:
    """Raises SettingsError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", remedy="Give JSON lines.") from error
    queries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                queries.append(_query(json.loads(line), path.parent, over))
            except (ValueError, KeyError, TypeError) as error:
                raise SettingsError(
                    f"{path}, line {number}: {type(error).__name__}: {error}",
                    remedy="A line has query, modality and expected.",
                ) from error
    if not queries:
        raise SettingsError(f"{path} has no query.", remedy="Give one a line.")
    return queries


def measure(
    ask: Callable[[Asked], Sequence[Moment]],
    queries: Sequence[LabelledQuery],
    *,
    window_ms: int,
    ks: Sequence[int] = (1, 5),
) -> Quality:
    """Ask every query; `ask` gives the best moments first, as `Searcher.ask` does."""
    assets, moments = dict.fromkeys(ks, 0), dict.fromkeys(ks, 0)
    missed = []
    for query in queries:
        answers = list(ask(query.asked))[: max(ks)]
        asset = _first(answers, lambda a, e: a.key == e.key, query)
        moment = _first(answers, lambda a, e: _is_moment(a, e, window_ms), query)
        for k in ks:
            assets[k] += asset < k
            moments[k] += moment < k
        if moment >= max(ks):
            missed.append(query)
    count = len(queries)
    shares = [Share("asset", k, assets[k], count) for k in ks]
    shares += [Share("moment", k, moments[k], count) for k in ks]
    return Quality(tuple(shares), tuple(missed))


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


def _query(row: dict[str, Any], folder: Path, over: tuple[str, ...]) -> LabelledQuery:
    modality, query = row["modality"], str(row["query"])
    if modality not in KINDS:
        raise ValueError(f"modality is {modality!r}, not one of {', '.join(KINDS)}")
    expected = tuple(Expected(**answer) for answer in row["expected"])
    if not expected:
        raise ValueError("expected is empty")
    value: str | Path = query if modality == "text" else folder / query
    asked = Asked(**{KINDS[modality]: value}, over=over)  # type: ignore[arg-type]
    return LabelledQuery(query, modality, asked, expected)
