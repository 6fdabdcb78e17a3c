"""Work ahead of its user: the same items, bounded, and ended with whoever takes them."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from pipeline.ahead import ahead


class Counting:
    """Numbers, and what became of them: how many were made, by whom, and whether it was closed."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.made = 0
        self.enough = threading.Event()
        self.closed_by = ""
        self._fail_at = fail_at

    def items(self, count: int, enough: int = 0) -> Generator[int, None, None]:
        try:
            for number in range(count):
                if number == self._fail_at:
                    raise ValueError(f"no {number}")
                self.made += 1
                if self.made == enough:
                    self.enough.set()
                yield number
        finally:
            self.closed_by = threading.current_thread().name


def test_the_same_items_in_their_order() -> None:
    counting = Counting()
    with ahead(counting.items(1000), most=3) as items:
        assert list(items) == list(range(1000))
    assert counting.closed_by == "ahead"


def test_it_begins_on_entering_and_keeps_its_bound() -> None:
    counting = Counting()
    with ahead(counting.items(1000, enough=4), most=4) as items:
        assert counting.enough.wait(10)  # nobody has asked for an item yet
        assert next(items) == 0
        assert next(items) == 1
        assert counting.made <= 6
    assert counting.made <= 7
    assert counting.closed_by == "ahead"


def test_an_error_comes_after_the_items_before_it() -> None:
    seen = []
    with ahead(Counting(fail_at=5).items(9), most=2) as items:
        seen += [next(items) for _ in range(5)]
        with pytest.raises(ValueError, match="no 5"):
            next(items)
    assert seen == [0, 1, 2, 3, 4]


def test_who_takes_them_fails_before_the_first() -> None:
    counting = Counting()
    with pytest.raises(RuntimeError), ahead(counting.items(1000), most=2):
        raise RuntimeError("the model does not load")
    assert counting.made <= 3
    assert all(thread.name != "ahead" for thread in threading.enumerate())
