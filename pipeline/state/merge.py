"""Merges rows of the state, which come sorted by key: a run's into those before it, increments into
the whole.

Pure, and streaming: of each side one row is held. Keys are compared as Python compares strings: by
code point, which is the order of their UTF-8 bytes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from pipeline.records import Status

if TYPE_CHECKING:
    from pipeline.state.objects import StateRow

T = TypeVar("T")
_key, _sequence = attrgetter("key"), attrgetter("sequence")


def newest_of(
    sides: Sequence[Iterable[StateRow]], *, tombstones: bool = False
) -> Iterator[StateRow]:
    """Of each key the row of the highest sequence, in the order of the keys. A row that says
    `removed` leaves, unless `tombstones` are asked for."""
    merged = heapq.merge(*sides, key=_key)
    for _, rows in itertools.groupby(merged, _key):
        row = max(rows, key=_sequence)
        if tombstones or row.status is not Status.REMOVED:
            yield row


def merge_state(
    old: Iterable[StateRow], fresh: Iterable[StateRow], gone: Iterable[str] = ()
) -> Iterator[StateRow]:
    """The new state: `fresh` rows take the place of old ones of the same key, `gone` keys leave.

    All three come sorted by key. Raises ValueError where one does not.
    """
    leaving = (key for key, _ in _ascending(gone, str, "gone keys"))
    leaves = next(leaving, None)
    by_key = attrgetter("key")
    merged = _newest(_ascending(old, by_key, "old rows"), _ascending(fresh, by_key, "fresh rows"))
    for key, row in merged:
        while leaves is not None and leaves < key:
            leaves = next(leaving, None)
        if key != leaves:
            yield row


def _newest(
    old: Iterator[tuple[str, StateRow]], fresh: Iterator[tuple[str, StateRow]]
) -> Iterator[tuple[str, StateRow]]:
    was, now = next(old, None), next(fresh, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was[0] < now[0]):
            assert was is not None
            yield was
            was = next(old, None)
        else:
            yield now
            if was is not None and was[0] == now[0]:
                was = next(old, None)
            now = next(fresh, None)


def _ascending(
    items: Iterable[T], key_of: Callable[[T], str], what: str
) -> Iterator[tuple[str, T]]:
    last = ""
    for item in items:
        key = key_of(item)
        if key <= last:
            raise ValueError(f"{what} are not sorted: {key!r} comes after {last!r}")
        last = key
        yield key, item
