"""A search as data: what checks itself, what goes to JSON and back, and what a condition in text
means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.index.conditions import OF_READERS, Condition, milliseconds, parse_condition
from pipeline.search.request import (
    DEEPEST,
    Ranking,
    SearchRequest,
    Term,
    TermKind,
    asked,
    request_of,
)
from pipeline.search.stored import asset_and_time
from pipeline.words import words_asked, words_in, words_of_window

REQUEST = SearchRequest(
    (
        Term(TermKind.WORDS, "a beach"),
        Term(TermKind.POINT, "films/park.mp4@1:12", 0.5),
        Term(TermKind.WORDS, "people", -1.0),
        Term(TermKind.WORDS, "a dog barks", required=True),
    ),
    where=(
        Condition("media_type", equals="video"),
        Condition("tags", any_of=("dog", "cat"), negated=True),
        Condition("last_modified", at_least="2026-11-01", below="2026-12-01"),
        Condition("size_bytes", above=1_000_000),
        Condition("key", prefix="films/"),
        Condition("has_audio", equals=True),
    ),
    group=True,
    fold_above=0.98,
    ranking=Ranking.SHARE,
)


def test_a_request_goes_to_json_and_back() -> None:
    text = codec.to_bytes(REQUEST)
    assert codec.from_bytes(SearchRequest, text) == REQUEST
    assert json.loads(text)["terms"][3]["required"] is True


def test_what_may_be_left_out_may() -> None:
    least = '{"terms": [{"kind": "words", "value": "a dog"}]}'
    assert codec.from_bytes(SearchRequest, least) == asked("a dog")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"terms": [{"kind": "smell", "value": "a dog"}]}', "kind"),
        ('{"terms": [{"kind": "words", "value": " "}]}', "empty"),
        ('{"terms": [{"kind": "words", "value": "a", "weight": 0}]}', "weight"),
        ('{"terms": [{"kind": "words", "value": "a", "weight": -1, "required": true}]}', "taken"),
        ('{"terms": [], "limit": 0}', "limit"),
        ('{"terms": [], "colour": "red"}', "colour"),
        ('{"terms": [], "where": [{"field": "mime", "equals": "video/mp4"}]}', "mime"),
        ('{"terms": [], "where": [{"field": "live", "equals": true}]}', "live"),
        ('{"terms": [], "cursor": "abc"}', "cursor"),
    ],
)
def test_what_cannot_be_asked_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        codec.from_bytes(SearchRequest, text)


def test_nothing_asked_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="empty"):
        asked()
    with pytest.raises(SettingsError, match="limit is 0"):
        request_of(terms=REQUEST.terms, limit=0)


def test_a_cursor_is_of_its_own_search() -> None:
    cursor = REQUEST.cursor_at(20)
    assert replace(REQUEST, cursor=cursor).offset() == 20
    assert replace(REQUEST, cursor=cursor, limit=50).offset() == 20  # the page may be another
    with pytest.raises(ValueError, match="another search"):
        replace(REQUEST, cursor=cursor, group=False)
    assert REQUEST.cursor_at(DEEPEST + 1) == ""


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("type=video", Condition("media_type", equals="video")),
        ("type!=image", Condition("media_type", equals="image", negated=True)),
        ("tag=dog,cat", Condition("tags", any_of=("dog", "cat"))),
        ("key=a,b=c.jpg", Condition("key", equals="a,b=c.jpg")),
        ("key^=2026/films, old/", Condition("key", prefix="2026/films, old/")),
        ("size>=10MB", Condition("size_bytes", at_least=10_000_000)),
        ("size<1.5k", Condition("size_bytes", below=1500)),
        ("duration<5min", Condition("asset_duration_ms", below=300_000)),
        ("time=1:00..2:00", Condition("start_ms", at_least=60_000, at_most=120_000)),
        ("time=..90s", Condition("start_ms", at_most=90_000)),
        ("date>=2026-11-21", Condition("last_modified", at_least="2026-11-21")),
        (
            "date=2026-12",
            Condition(
                "last_modified",
                at_least="2026-12-01T00:00:00+00:00",
                below="2027-01-01T00:00:00+00:00",
            ),
        ),
        (
            "date=2024-02-28",
            Condition(
                "last_modified",
                at_least="2024-02-28T00:00:00+00:00",
                below="2024-02-29T00:00:00+00:00",
            ),
        ),
        ("has_audio=true", Condition("has_audio", equals=True)),
        ("sequence>3", Condition("sequence", above=3)),
    ],
)
def test_a_condition_in_text(text: str, means: Condition) -> None:
    assert parse_condition(text) == means


@pytest.mark.parametrize(
    "text",
    ["type", "type=film", "mime=video/mp4", "size=big", "date=yesterday", "date=2026-13",
     "has_audio=perhaps", "tag>3", "live=false", "time=1:0:0:0", "type^=vid"],
)  # fmt: skip
def test_a_condition_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\bis\b|\bhas\b|\bno\b"):
        parse_condition(text)


@pytest.mark.parametrize(
    "more",
    [{}, {"equals": 3, "above": 2}, {"equals": "3"}, {"equals": True}, {"prefix": "a"}],
)
def test_a_condition_is_one_thing_of_its_kind(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="size_bytes"):
        Condition("size_bytes", **more)


def test_readers_cannot_ask_for_what_is_hidden() -> None:
    assert "live" not in OF_READERS
    assert {"size_bytes", "last_modified", "asset_duration_ms", "start_ms", "tags", "key", "words",
            "media_type"} <= OF_READERS.keys()  # fmt: skip


@pytest.mark.parametrize(
    ("text", "asset", "at_ms"),
    [
        ("films/park.mp4@1:12", "films/park.mp4", 72_000),
        ("me@home/a.mp4@1:01:12.5", "me@home/a.mp4", 3_672_500),
        ("me@home/a.mp4", "me@home/a.mp4", 0),
        ("a.mp4@90s", "a.mp4", 90_000),
        ("a.mp4@72", "a.mp4", 72_000),
    ],
)
def test_an_asset_and_a_time(text: str, asset: str, at_ms: int) -> None:
    assert asset_and_time(text) == (asset, at_ms)


def test_times() -> None:
    assert [milliseconds(t) for t in ("250ms", "5min", "1h", "0:05")] == [250, 300_000, 3_600_000,
                                                                          5000]  # fmt: skip
    with pytest.raises(ValueError, match="no time"):
        milliseconds("soon")


def test_words_of_a_window() -> None:
    words = words_of_window({"key": "2026/IMG_2041.jpg", "text": "Order 48213 for Frau Dvořák."})
    assert words == ["2026", "img_2041.jpg", "img_2041", "img", "2041", "jpg",
                     "order", "48213", "for", "frau", "dvorak"]  # fmt: skip


def test_what_is_asked_for_by_the_word() -> None:
    assert words_asked("IMG_2041") == ("img_2041",)
    assert words_asked("a dog and the Café in 7") == ("dog", "cafe", "7")
    assert words_asked("a the") == ()
    for text in ("IMG_2041.jpg", "img_2041", "2041", "O'Brien", "Café"):
        assert set(words_asked(text)) <= words_in("x/IMG_2041.jpg O'Brien, Cafe").keys()
