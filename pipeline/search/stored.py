"""A stored window as a term of a search: ASSET@TIME, an asset's key or id and a time in it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from uuid import UUID

from encoders.modality import Modality
from pipeline.errors import SettingsError
from pipeline.index.conditions import Condition, milliseconds
from pipeline.index.types import Asked, Hit, VectorsAsked, WindowsAsk
from pipeline.search.live_hits import live_answers
from pipeline.search.query import QueryTerm
from pipeline.search.request import Term

LOOK_BACK_MS = 60_000
MOST = 1_000


def asset_and_time(text: str) -> tuple[str, int]:
    """The asset, and the time in milliseconds: 0 where none is named. A key may have an @ in it:
    only what is a time behind the last one is one."""
    asset, at, time = text.rpartition("@")
    if at:
        try:
            return asset, milliseconds(time)
        except ValueError:
            pass
    return text, 0


def stored_terms(
    term: Term, modalities: Mapping[str, Modality], part: int
) -> Generator[Asked, Any, list[QueryTerm]]:
    """A term for each of the vectors that the window at that time has; `modalities` are those of
    the encoder's vectors by their names. Words beside it are left out, where it has more than them.

    Raises SettingsError where there is no such asset."""
    asset, at_ms = asset_and_time(term.value)
    owner = Condition("asset_id" if _is_id(asset) else "key", equals=asset)
    near = Condition("start_ms", at_least=max(0, at_ms - LOOK_BACK_MS), at_most=at_ms)
    [hits] = yield from live_answers([WindowsAsk("", None, MOST, (owner, near))])
    if not hits:
        raise SettingsError(
            f"The collection has no window of {asset!r} at {at_ms / 1000:g} s.",
            remedy="Name an asset by its key or its id, and a time in it: films/park.mp4@1:12.",
        )
    window = max(hits, key=_start)
    vectors = (yield VectorsAsked((window.point_id,))).get(window.point_id, {})
    named = {name: vector for name, vector in vectors.items() if name in modalities}
    shown = {n: v for n, v in named.items() if modalities[n] is not Modality.TEXT} or named
    if not shown:
        raise SettingsError(
            f"{term.value} has no vector of this encoder.", remedy="Name another encoder's vectors."
        )
    return [
        QueryTerm(modalities[name], vector, term.weight, term.value, term.required, part)
        for name, vector in shown.items()
    ]


def _start(hit: Hit) -> int:
    return int(hit.payload["start_ms"])


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
