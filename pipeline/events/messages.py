"""Parses S3 event notifications: sent by S3 itself, through SNS, or by EventBridge. Pure.

An event is a hint that an object is worth a look. What has become of it, the bucket says: so events
that come twice, late, or in another order are harmless, and neither their sequencer nor their
version is relied on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

from pipeline.errors import Permanent
from pipeline.records import Place


class Told(StrEnum):
    """What an event tells of an object."""

    CREATED = "created"
    REMOVED = "removed"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One object that is worth a look. `size_bytes` is as the event has it, and `happened_at` when
    it came about (seconds since 1970); each 0 where it does not say."""

    told: Told
    bucket: str
    key: str
    size_bytes: int = 0
    happened_at: float = 0.0

    @property
    def place(self) -> Place:
        return self.bucket, self.key


class NotAnEvent(Permanent):
    """A message that is no event notification of S3."""

    default_code = "not_an_event"


_BY_S3 = {
    "ObjectCreated": Told.CREATED,
    "ObjectRemoved": Told.REMOVED,
    "LifecycleExpiration": Told.REMOVED,
}
_BY_EVENT_BRIDGE = {
    "Object Created": Told.CREATED,
    "Object Deleted": Told.REMOVED,
    "Object Restore Completed": Told.RESTORED,
}
_RESTORED = "ObjectRestore:Completed"


def events_in(body: str) -> list[ObjectEvent]:
    """The events of a message; none where it tells of something else that S3 sends, as its test
    message when notifications are set up, or a change of tags. Raises NotAnEvent."""
    try:
        message = json.loads(body)
        if isinstance(message, dict) and "Message" in message and "Records" not in message:
            message = json.loads(message["Message"])  # by SNS, without raw delivery
        return list(_events(message))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAnEvent(
            f"A message is no event notification of S3 ({type(error).__name__}: {error}).",
            remedy="Send nothing else to the queue; a redrive policy moves it to a dead-letter "
            "queue (docs/events.md).",
        ) from error


def _events(message: Any) -> Iterator[ObjectEvent]:
    if not isinstance(message, dict):
        raise TypeError("a message is a JSON object")
    if "Records" in message:
        for record in message["Records"]:
            yield from _by_s3(record)
    elif message.get("source") == "aws.s3":
        yield from _by_event_bridge(message)
    elif message.get("Event") != "s3:TestEvent":
        raise ValueError("neither Records nor an event of aws.s3")


def _by_s3(record: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    name = record["eventName"].removeprefix("s3:")
    told = Told.RESTORED if name == _RESTORED else _BY_S3.get(name.partition(":")[0])
    about = record["s3"]
    bucket, key = about["bucket"]["name"], unquote_plus(about["object"]["key"], errors="strict")
    if told is not None:
        size, when = about["object"].get("size"), record.get("eventTime")
        yield _event(told, bucket, key, size, when)


def _by_event_bridge(event: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    """Here keys come as they are, not encoded."""
    told = _BY_EVENT_BRIDGE.get(event["detail-type"])
    about = event["detail"]
    if told is not None:
        found = about["object"]
        bucket, size = about["bucket"]["name"], found.get("size")
        yield _event(told, bucket, found["key"], size, event.get("time"))


def _event(told: Told, bucket: Any, key: Any, size: Any, when: Any) -> ObjectEvent:
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise TypeError("a bucket and a key are text")
    size_bytes = size if isinstance(size, int) and size > 0 else 0
    return ObjectEvent(told, bucket, key, size_bytes, _seconds(when))


def _seconds(when: Any) -> float:
    """Since 1970; 0 for what is no time, since nothing but a figure goes by it."""
    try:
        at = datetime.fromisoformat(when)
    except (ValueError, TypeError):
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
