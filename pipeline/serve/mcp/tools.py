"""The tools: their names, what an agent is told of them, and what of the service each asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pipeline.serve.mcp.arguments import (
    GetAssetGiven,
    SearchMomentsGiven,
    SimilarGiven,
)
from pipeline.serve.mcp.results import AssetFound, MomentsFound, asset_found, moments_found
from pipeline.serve.service import Service

INSTRUCTIONS = """\
This server searches a collection of pictures, sounds and videos by what is seen, heard and said in
them. search_moments answers with moments: stretches of an asset (one object of a bucket). Times are
in milliseconds from the asset's beginning; a still has start_ms 0 and end_ms 0. Show a person the
key (or the uri) and the time. A moment with `stale` set is of an object that has left the bucket or
changed since: name it as no longer playable. Nothing can be changed, and no file or address can be
read, through these tools."""

SEARCH = """\
Find moments in pictures, sounds and videos by what is seen, heard or said.

A moment is a stretch of one asset that answers the question: start_ms to end_ms, in milliseconds
from the asset's beginning (a still: 0 to 0); best_ms, the middle of its best window, is where to
look. Terms are added up by their weights; a term with a negative weight is taken away, so that
moments like it rank lower. `where` narrows by facts: type, tags, date, size, duration, key.

Moments come best first. `score` orders this list alone: compare it with no other search's, and
take no fixed bound for "found". `share`, where not null, is the share of the collection that
scores lower (0.99: better than 99 in 100) and can be compared. `cosine` is of one vector, and
cosines of vision and audio are on different scales. There are always nearest moments, also where
nothing fits: judge by `share`, `why`, `text` and `words` (words of the question that are in its
name or text)."""

GET_ASSET = """\
Look up one asset by its asset_id: key, uri, type, size, date, duration, metadata (`payload`),
whether it can still be played (`stale` is null), and its windows in the order of time, each with
what is said in it (`text`) and tags. Use it to see what surrounds a moment. More windows come with
`cursor`."""

SIMILAR = """\
Find moments of other assets that are like one window of an asset: pass a moment's asset_id, and
its best_ms as at_ms. The stored vectors are compared, what is seen with what is seen and what is
heard with what is heard. The answer is as that of search_moments; `where` narrows it."""


@dataclass(frozen=True, slots=True)
class ServedTool:
    """`given` is the record of its arguments, `answer` the model of its result."""

    name: str
    title: str
    description: str
    given: type[Any]
    answer: type[BaseModel]
    call: Callable[[Service, Any], Awaitable[dict[str, Any]]]


async def _search(service: Service, given: SearchMomentsGiven) -> dict[str, Any]:
    return moments_found(await service.search(given.request()))


async def _asset(service: Service, given: GetAssetGiven) -> dict[str, Any]:
    asset = await service.asset(given.asset_id)
    if not given.limit:
        return asset_found(asset, None)
    windows = await service.segments(given.asset_id, limit=given.limit, cursor=given.cursor)
    return asset_found(asset, windows)


async def _similar(service: Service, given: SimilarGiven) -> dict[str, Any]:
    return moments_found(
        await service.similar(
            given.asset_id,
            at_ms=given.at_ms,
            limit=given.limit,
            cursor=given.cursor,
            where=given.conditions(),
        )
    )


TOOLS = (
    ServedTool(
        "search_moments", "Search moments", SEARCH, SearchMomentsGiven, MomentsFound, _search
    ),
    ServedTool("get_asset", "Get an asset", GET_ASSET, GetAssetGiven, AssetFound, _asset),
    ServedTool("similar", "Similar moments", SIMILAR, SimilarGiven, MomentsFound, _similar),
)
