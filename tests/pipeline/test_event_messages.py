"""Event notifications of S3 in each of their three forms: which keys they tell of."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.messages import NotAnEvent, ObjectEvent, Told, events_in
from tests.support.event_bodies import by_event_bridge, by_s3, by_sns

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(st.sampled_from(["media", "other"]), KEYS)
def test_any_key_comes_back_in_every_form(bucket: str, key: str) -> None:
    wanted = [ObjectEvent(Told.CREATED, bucket, key, 7)]
    sent = by_s3("ObjectCreated:Put", key, bucket)
    assert events_in(json.dumps(sent)) == wanted
    assert events_in(json.dumps(by_sns(sent))) == wanted
    assert events_in(json.dumps(by_event_bridge("Object Created", key, bucket))) == wanted


def test_plus_space_and_letters_beyond_ascii() -> None:
    body = by_s3("ObjectCreated:Put", "")
    body["Records"][0]["s3"]["object"]["key"] = "my+films/a%2Bb+%C3%A9%F0%9F%90%95.mp4"
    assert events_in(json.dumps(body))[0].key == "my films/a+b é🐕.mp4"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ObjectCreated:CompleteMultipartUpload", Told.CREATED),
        ("s3:ObjectCreated:Copy", Told.CREATED),
        ("ObjectRemoved:Delete", Told.REMOVED),
        ("ObjectRemoved:DeleteMarkerCreated", Told.REMOVED),
        ("LifecycleExpiration:Delete", Told.REMOVED),
        ("ObjectRestore:Completed", Told.RESTORED),
        ("ObjectRestore:Post", None),
        ("ObjectTagging:Put", None),
    ],
)
def test_what_an_event_tells(name: str, told: Told | None) -> None:
    found = events_in(json.dumps(by_s3(name, "a.mp4")))
    assert [event.told for event in found] == ([told] if told else [])


@pytest.mark.parametrize(
    ("name", "told"),
    [("Object Deleted", Told.REMOVED), ("Object Restore Completed", Told.RESTORED)],
)
def test_what_event_bridge_tells(name: str, told: Told) -> None:
    assert events_in(json.dumps(by_event_bridge(name, "a.mp4")))[0].told is told


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("2026-03-02T02:00:11.250Z", 1772416811.25),
        ("2026-03-02T03:00:11+01:00", 1772416811.0),
        ("2026-03-02T02:00:11", 1772416811.0),
        ("yesterday", 0.0),
        (7, 0.0),
    ],
)
def test_when_it_came_about_is_said_or_not(when: Any, seconds: float) -> None:
    """Nothing goes by it but a figure: what is no time does not make it no event."""
    body = by_s3("ObjectCreated:Put", "a.mp4", when=when)
    assert events_in(json.dumps(body))[0].happened_at == seconds
    bridged = by_event_bridge("Object Created", "a.mp4") | {"time": when}
    assert events_in(json.dumps(bridged))[0].happened_at == seconds


def test_the_test_event_tells_of_nothing() -> None:
    sent: dict[str, Any] = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}
    assert events_in(json.dumps(sent)) == []
    assert events_in(json.dumps(by_sns(sent))) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"Records": [{}]}',
        '{"Records": 7}',
        '{"Message": "not JSON"}',
        '{"source": "aws.ec2", "detail-type": "x"}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": 1}, '
        '"object": {"key": "a"}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, '
        '"object": {"key": "%FF"}}}]}',
    ],
)
def test_what_is_no_event_is_said_to_be_none(body: str) -> None:
    with pytest.raises(NotAnEvent):
        events_in(body)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["Records", "s3", "object", "key", "Message", "source", "detail"]), inner),
    max_leaves=8,
))  # fmt: skip
def test_no_message_does_more_than_be_refused(body: Any) -> None:
    with suppress(NotAnEvent):
        assert isinstance(events_in(json.dumps(body)), list)
