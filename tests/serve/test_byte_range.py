"""Ranges and conditions of HTTP, as RFC 9110 has them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.serve.byte_range import Wanted, http_date, modified_at, wanted

ETAG = "9a0364"
AT = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
SIZE = 1000
WHOLE = Wanted(200, 0, SIZE)
NOT_THERE = Wanted(416, 0, 0)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("bytes=0-99", Wanted(206, 0, 100)),
        ("bytes=900-", Wanted(206, 900, SIZE)),
        ("bytes=900-5000", Wanted(206, 900, SIZE)),
        ("bytes=999-999", Wanted(206, 999, SIZE)),
        ("bytes=-100", Wanted(206, 900, SIZE)),
        ("bytes=-5000", Wanted(206, 0, SIZE)),
        ("Bytes = 0 - 0".replace(" = ", "="), Wanted(206, 0, 1)),
        ("bytes=1000-", NOT_THERE),
        ("bytes=-0", NOT_THERE),
        ("bytes=" + "9" * 40 + "-", NOT_THERE),
        ("bytes=5-4", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=0-1,5-6", WHOLE),
        ("items=0-1", WHOLE),
        ("bytes=a-b", WHOLE),
    ],
)
def test_a_range(asked: str, answer: Wanted) -> None:
    assert wanted({"range": asked}, SIZE, ETAG, AT) == answer


@pytest.mark.parametrize(
    ("condition", "ranged"),
    [
        (f'"{ETAG}"', True),
        (f'W/"{ETAG}"', False),
        ('"another"', False),
        (http_date(AT), True),
        ("Sat, 21 Nov 2026 02:29:59 GMT", False),
        ("nonsense", False),
    ],
)
def test_a_range_on_a_condition(condition: str, ranged: bool) -> None:
    asked = {"range": "bytes=0-9", "if-range": condition}
    assert wanted(asked, SIZE, ETAG, AT) == (Wanted(206, 0, 10) if ranged else WHOLE)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": f'"{ETAG}"'}, 304),
        ({"if-none-match": f'"x", W/"{ETAG}"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"', "if-modified-since": http_date(AT)}, 200),
        ({"if-modified-since": http_date(AT)}, 304),
        ({"if-modified-since": "Sat, 21 Nov 2026 02:29:59 GMT"}, 200),
        ({"if-modified-since": "never"}, 200),
    ],
)
def test_what_a_client_has_already(headers: dict[str, str], status: int) -> None:
    assert wanted(headers, SIZE, ETAG, AT).status == status


def test_an_empty_object() -> None:
    assert wanted({}, 0, ETAG, None) == Wanted(200, 0, 0)
    assert wanted({"range": "bytes=0-"}, 0, ETAG, None).status == 416
    assert wanted({"range": "bytes=-1"}, 0, ETAG, None).status == 416


def test_times_are_whole_seconds() -> None:
    assert modified_at("2026-11-21T02:30:00.75+00:00") == AT
    assert modified_at("2026-11-21T03:30:00+01:00") == AT
    assert modified_at("yesterday") is None
