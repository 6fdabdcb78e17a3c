"""Keeps, of each asset, the hits of one generation: the rule by which a collection is read. Pure.

A flip turns an asset's new generation on and its old one off in one request, but Qdrant does the
steps of a request one after the other, and a reader may ask between two: then both are live. No
request closes that moment, so who reads decides. docs/metadata.md has the rule for other clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.index.types import Hit


def newest_generations(hits: Mapping[str, Sequence[Hit]]) -> dict[str, list[Hit]]:
    """The hits, by vector name as they were given, without those of older generations.

    The newest generation of an asset is that of the hit with the highest fencing token (the payload
    field `sequence`). All of that generation stay: a shard that was loaded twice has points of two
    tokens in one generation, so the token alone would leave gaps.
    """
    newest: dict[str, tuple[int, str]] = {}
    for found in hits.values():
        for hit in found:
            asset, written = hit.payload["asset_id"], _written(hit)
            newest[asset] = max(newest.get(asset, written), written)
    return {
        name: [hit for hit in found if _written(hit)[1] == newest[hit.payload["asset_id"]][1]]
        for name, found in hits.items()
    }


def _written(hit: Hit) -> tuple[int, str]:
    return hit.payload["sequence"], hit.payload["generation"]
