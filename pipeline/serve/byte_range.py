"""Ranges and conditions of HTTP (RFC 9110, sections 13 and 14), for one object. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_ONE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.I)
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of an object is to be sent, with which status: `start` up to `stop`, exclusive."""

    status: int
    start: int
    stop: int


def wanted(headers: Mapping[str, str], size: int, etag: str, modified: datetime | None) -> Wanted:
    """200, 206, 304 or 416, by the request's headers, whose names are in lower case.

    More than one range, and what is none, is answered by the whole, as the RFC allows.
    """
    whole = Wanted(200, 0, size)
    if _unchanged(headers, etag, modified):
        return Wanted(304, 0, 0)
    asked = headers.get("range")
    if asked is None or not _may_be_ranged(headers.get("if-range"), etag, modified):
        return whole
    found = _ONE.fullmatch(asked)
    if found is None or found.groups() == ("", ""):
        return whole
    first, last = found.groups()
    if max(len(first), len(last)) > _MOST_DIGITS:
        return Wanted(416, 0, 0)
    if not first:
        length = min(int(last), size)
        return Wanted(206, size - length, size) if length else Wanted(416, 0, 0)
    start = int(first)
    if last and int(last) < start:
        return whole
    if start >= size:
        return Wanted(416, 0, 0)
    return Wanted(206, start, min(int(last) + 1, size) if last else size)


def _unchanged(headers: Mapping[str, str], etag: str, modified: datetime | None) -> bool:
    none_match = headers.get("if-none-match")
    if none_match is not None:
        named = [one.strip().removeprefix("W/") for one in none_match.split(",")]
        return "*" in named or f'"{etag}"' in named
    since = _date(headers.get("if-modified-since"))
    return since is not None and modified is not None and modified <= since


def _may_be_ranged(condition: str | None, etag: str, modified: datetime | None) -> bool:
    """A range is of the content that a client has the rest of, or it gets all of it."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{etag}"'  # a weak one never fits
    date = _date(condition)
    return date is not None and date == modified


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError):
        return None
    return None if found is None else found.replace(tzinfo=found.tzinfo or UTC)


def modified_at(last_modified: str) -> datetime | None:
    """Of the payload's field, in whole seconds, as HTTP has them."""
    try:
        found = datetime.fromisoformat(last_modified)
    except ValueError:
        return None
    return found.replace(microsecond=0, tzinfo=found.tzinfo or UTC).astimezone(UTC)


def http_date(at: datetime) -> str:
    """`Sun, 06 Nov 1994 08:49:37 GMT`."""
    return format_datetime(at.astimezone(UTC), usegmt=True)
