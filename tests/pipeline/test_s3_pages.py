"""A listing's pages: in their order, the next one asked for while one is read, and its times."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest
from botocore.utils import parse_timestamp

from pipeline.ahead import ahead
from pipeline.s3.client import timestamp


def noting(asked: list[threading.Event]) -> Generator[int, None, None]:
    """Numbered pages; each sets its event when it is asked for."""
    for number, event in enumerate(asked):
        event.set()
        yield number


def test_the_next_page_is_on_its_way_while_one_is_read() -> None:
    asked = [threading.Event() for _ in range(3)]
    read = []
    with ahead(noting(asked), most=1) as pages:
        for page in pages:
            if page < 2:
                assert asked[page + 1].wait(5), "the next page is not asked for before this is done"
            read.append(page)
    assert read == [0, 1, 2]


def test_no_more_than_one_page_lies_ready() -> None:
    asked = [threading.Event() for _ in range(3)]
    with ahead(noting(asked), most=1) as listing:
        assert next(listing) == 0
        assert asked[1].wait(5)
        assert not asked[2].wait(0.3)
        assert next(listing) == 1
        assert asked[2].wait(5)


def test_who_stops_early_does_not_wait_for_the_next_page() -> None:
    never = threading.Event()

    def pages() -> Generator[int, None, None]:
        yield 0
        never.wait()
        yield 1

    with ahead(pages(), most=1, end_wait_s=0) as listing:
        assert next(listing) == 0
    # would hang


def test_what_goes_wrong_comes_at_its_page() -> None:
    def pages() -> Generator[int, None, None]:
        yield 0
        raise OSError("cut")

    with ahead(pages(), most=1) as listing:
        assert next(listing) == 0
        with pytest.raises(OSError, match="cut"):
            next(listing)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05+02:00",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "1767323045",
        1767323045,
    ],
)
def test_times_are_read_as_botocore_reads_them(text: str | int) -> None:
    assert timestamp(text) == parse_timestamp(text)
    assert timestamp(text).tzinfo is not None
