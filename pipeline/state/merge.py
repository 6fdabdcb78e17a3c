"""Merges rows of the state, which come sorted by bucket and key: a run's into those before it,
increments into the whole.

Pure, and streaming: of each side one row is held.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from pipeline.records import Place, Status

if TYPE_CHECKING:
    from pipeline.state.objects import StateRow

T = TypeVar("T")
_place, _sequence = attrgetter("place"), attrgetter("sequence")


def newest_of(
    sides: Sequence[Iterable[StateRow]], *, tombstones: bool = False
) -> Iterator[StateRow]:
    """Of each object the row of the highest sequence, in the order of bucket and key. A row that
    says `removed` leaves, unless `tombstones` are asked for."""
    merged = heapq.merge(*sides, key=_place)
    for _, rows in itertools.groupby(merged, _place):
        row = max(rows, key=_sequence)
        if tombstones or row.status is not Status.REMOVED:
            yield row


def merge_state(
    old: Iterable[StateRow], fresh: Iterable[StateRow], gone: Iterable[Place] = ()
) -> Iterator[StateRow]:
    """The new state: `fresh` rows take the place of old ones of the same bucket and key, those that
    are `gone` leave.

    All three come sorted. Raises ValueError where one does not.
    """
    leaving = (place for place, _ in _ascending(gone, lambda place: place, "gone objects"))
    leaves = next(leaving, None)
    merged = _newest(_ascending(old, _place, "old rows"), _ascending(fresh, _place, "fresh rows"))
    for place, row in merged:
        while leaves is not None and leaves < place:
            leaves = next(leaving, None)
        if place != leaves:
            yield row


def _newest(
    old: Iterator[tuple[Place, StateRow]], fresh: Iterator[tuple[Place, StateRow]]
) -> Iterator[tuple[Place, StateRow]]:
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
    items: Iterable[T], place_of: Callable[[T], Place], what: str
) -> Iterator[tuple[Place, T]]:
    last = ("", "")
    for item in items:
        place = place_of(item)
        if place <= last:
            raise ValueError(f"{what} are not sorted: {place[1]!r} comes after {last[1]!r}")
        last = place
        yield place, item
