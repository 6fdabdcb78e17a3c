"""More windows for moments that stand together by asset: each asset has its own, however many
better ones another has.

Qdrant can group by itself, and searches up to ten times a vector to fill the groups
(docs/performance.md). So it is asked for groups of one, and only where the nearest windows are all
of a few assets; and what those that are shown have beside is asked for, of all in one request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace

from pipeline.index.conditions import Condition
from pipeline.index.types import Asked, Hit, WindowsAsk
from pipeline.search.live_hits import MOST_HITS, live_answers
from pipeline.search.ranking import FoundList

NEAREST_PER_ASSET = 2  # windows asked for first, so that they name enough assets, mostly
WINDOWS_PER_MOMENT = 2  # windows asked for of one asset, so that enough are left after merging

Lists = Generator[Asked, list[list[Hit]], list[FoundList]]


def with_enough_assets(
    lists: Sequence[FoundList], asks: Sequence[WindowsAsk], assets: int
) -> Lists:
    """Each of the lists, which `asks` gave, with so many assets, if it has as many."""
    more = [
        replace(ask, limit=assets, per_asset=1)
        if len(one.hits) >= ask.limit and len(_windows_by_asset(one)) < assets
        else None
        for one, ask in zip(lists, asks, strict=True)
    ]
    return (yield from _with(lists, more))


def with_windows_of(
    assets: Sequence[str], lists: Sequence[FoundList], asks: Sequence[WindowsAsk], per_asset: int
) -> Lists:
    """Each of the lists with windows enough for `per_asset` moments of each of these assets, if it
    has as many. A list that is shorter than was asked for holds all there are."""
    size = max(1, min(per_asset * WINDOWS_PER_MOMENT, MOST_HITS // max(1, len(assets))))
    short = [
        _short(one, assets, size) if len(one.hits) >= ask.limit else ()
        for one, ask in zip(lists, asks, strict=True)
    ]
    lists = yield from _with(
        lists, [_of(few, ask, len(few) * size) for few, ask in zip(short, asks, strict=True)]
    )
    # All that were asked for may be of one asset; then the others are asked for apart.
    shown = _windows_by_asset(*lists)
    left = [
        tuple(asset for asset in few if shown[asset] < per_asset) if _held(one, few, size) else ()
        for one, few in zip(lists, short, strict=True)
    ]
    return (
        yield from _with(
            lists, [_of(few, ask, len(few), size) for few, ask in zip(left, asks, strict=True)]
        )
    )


def _windows_by_asset(*lists: FoundList) -> Counter[str]:
    """How many of them the lists have together."""
    found = {hit.point_id: hit.payload["asset_id"] for one in lists for hit in one.hits}
    return Counter(found.values())


def _short(one: FoundList, assets: Sequence[str], windows: int) -> tuple[str, ...]:
    """The assets of which the list has fewer windows."""
    found = _windows_by_asset(one)
    return tuple(asset for asset in assets if found[asset] < windows)


def _held(one: FoundList, assets: Sequence[str], windows: int) -> bool:
    """Whether so many of each asset on an average."""
    found = _windows_by_asset(one)
    return sum(found[asset] for asset in assets) >= len(assets) * windows


def _of(
    assets: Sequence[str], ask: WindowsAsk, limit: int, per_asset: int = 0
) -> WindowsAsk | None:
    """The same of these assets alone; None of none."""
    if not assets:
        return None
    where = (*ask.where, Condition("asset_id", any_of=tuple(assets)))
    return replace(ask, where=where, limit=limit, per_asset=per_asset)


def _with(lists: Sequence[FoundList], more: Sequence[WindowsAsk | None]) -> Lists:
    """The lists with what more is asked for behind what they have. Of an asset that a flip has
    replaced meanwhile nothing is added: it stays what it was when it was found first."""
    asks = [ask for ask in more if ask is not None]
    if not asks:
        return list(lists)
    answers = iter((yield from live_answers(asks)))
    known = {
        hit.payload["asset_id"]: hit.payload["generation"] for one in lists for hit in one.hits
    }
    found = []
    for one, ask in zip(lists, more, strict=True):
        hits = list(one.hits)
        there = {hit.point_id for hit in hits}
        for hit in next(answers) if ask is not None else ():
            asset, generation = hit.payload["asset_id"], hit.payload["generation"]
            if hit.point_id not in there and known.get(asset, generation) == generation:
                hits.append(hit)
        found.append(replace(one, hits=hits))
    return found
