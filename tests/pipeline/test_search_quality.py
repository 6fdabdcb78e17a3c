"""Recall over labelled queries, counted by hand, and lists that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SettingsError
from pipeline.search.evaluate import measure
from pipeline.search.labelled import read_queries
from pipeline.search.moments import Moment
from pipeline.search.request import SearchRequest


def moment(key: str, start_ms: int, end_ms: int) -> Moment:
    return Moment(key, f"s3://b/{key}", key, "video", start_ms, end_ms, 0.5, 0.5, "vision", {})


ANSWERS: dict[str, Sequence[Moment]] = {
    "a cow": [moment("farm.mp4", 0, 5000), moment("zoo.mp4", 0, 2000)],
    "a horse": [moment("farm.mp4", 0, 5000), moment("farm.mp4", 4000, 8000)],
    "a gorilla": [moment("farm.mp4", 0, 5000)],
    "a mouse": [],
}


def ask(asked: SearchRequest) -> Sequence[Moment]:
    [term] = asked.terms
    return ANSWERS[term.value]


def listed(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "queries.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def asks(words: str, key: str, *span: int) -> dict[str, Any]:
    expected: dict[str, Any] = {"key": key}
    if span:
        expected |= {"start_ms": span[0], "end_ms": span[1]}
    return {"query": words, "modality": "text", "expected": [expected]}


def test_recall_is_counted_by_hand(tmp_path: Path) -> None:
    queries = read_queries(
        listed(
            tmp_path,
            asks("a cow", "farm.mp4", 0, 5000),
            asks(
                "a horse", "farm.mp4", 5000, 10_000
            ),  # the second answer, a window off at each end
            asks("a gorilla", "zoo.mp4"),
            asks("a mouse", "farm.mp4"),
        )
    )
    quality = measure(ask, queries, window_ms=2000)
    found = {(share.what, share.k): share.found for share in quality.shares}
    assert found == {("asset", 1): 2, ("asset", 5): 2, ("moment", 1): 1, ("moment", 5): 2}
    assert [query.query for query in quality.missed] == ["a gorilla", "a mouse"]
    assert quality.shares[0].share == 0.5
    low, high = quality.shares[0].low, quality.shares[0].high
    assert (low, high) == (pytest.approx(0.15004, abs=1e-4), pytest.approx(0.84996, abs=1e-4))
    strict = measure(ask, queries, window_ms=500)
    assert {(s.what, s.k): s.found for s in strict.shares}["moment", 5] == 1


def test_several_answers_may_be_right(tmp_path: Path) -> None:
    row = asks("a cow", "zoo.mp4")
    row["expected"].append({"key": "farm.mp4"})
    [first, *_] = measure(ask, read_queries(listed(tmp_path, row)), window_ms=2000).shares
    assert (first.what, first.k, first.found) == ("asset", 1, 1)


def test_files_are_relative_to_the_list(tmp_path: Path) -> None:
    row = {"query": "q/dog.jpg", "modality": "vision", "expected": [{"key": "dog.jpg"}]}
    [query] = read_queries(listed(tmp_path, row), using=("vision",))
    assert query.request.terms[0].value == str(tmp_path / "q/dog.jpg")
    assert query.request.using == ("vision",)


@pytest.mark.parametrize(
    "row",
    [
        {"query": "x", "modality": "smell", "expected": [{"key": "k"}]},
        {"query": "x", "modality": "text", "expected": []},
        {"query": "x", "modality": "text"},
        {"query": "x", "modality": "text", "expected": [{"key": "k", "start_ms": 1}]},
        {"query": "x", "modality": "text", "expected": [{"name": "k"}]},
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="line 3"):
        read_queries(listed(tmp_path, asks("a cow", "farm.mp4"), row))


def test_a_list_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonl"):
        read_queries(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(SettingsError, match="no query"):
        read_queries(empty)
