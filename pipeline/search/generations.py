"""Keeps, of each asset, the hits of one generation: the rule by which a collection is read. Pure.

A flip turns an asset's new generation on, says so in its anchor, and takes the old one away: in one
request, but Qdrant does its steps one after the other, and on each shard for itself. Who asks
meanwhile may be given both generations, the new one in part. docs/metadata.md has the rule for
other clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.index.types import Hit

Hits = Mapping[str, Sequence[Hit]]


def whole_hits(hits: Hits) -> dict[str, list[Hit]]:
    """The hits that have their payload. Qdrant finds points first and reads them afterwards: of one
    that a flip has swept in between, a hit is left with the field that it was grouped by, or
    nothing."""
    return {
        name: [hit for hit in found if "generation" in hit.payload] for name, found in hits.items()
    }


def newest_generations(hits: Hits) -> dict[str, list[Hit]]:
    """The hits, by vector name as they were given, without those of older generations.

    The newest generation of an asset is that of the hit with the highest fencing token (the payload
    field `sequence`). All of that generation stay: a shard that was loaded twice has points of two
    tokens in one generation, so the token alone would leave gaps.
    """
    return _only(hits, _newest(hits))


@dataclass(frozen=True, slots=True)
class Settled:
    """The hits with one generation an asset. `unsettled`: assets of which it cannot be told yet
    whether the one that is kept was whole; they are asked for again."""

    hits: dict[str, list[Hit]]
    unsettled: frozenset[str]


def in_two_generations(hits: Hits) -> dict[str, set[str]]:
    """The assets of which there are hits of more than one generation, and these."""
    seen: dict[str, set[str]] = {}
    for found in hits.values():
        for hit in found:
            seen.setdefault(hit.payload["asset_id"], set()).add(hit.payload["generation"])
    return {asset: generations for asset, generations in seen.items() if len(generations) > 1}


def settled(hits: Hits, before: Mapping[str, str], after: Mapping[str, str]) -> Settled:
    """Keep the generation that was whole when the hits were found. `before` and `after`: what the
    anchors said of assets in two generations, before the question was asked and after it.

    A new generation is whole from the moment on that the anchor names it, and an old one as long as
    the anchor does.
    """
    kept = _newest(hits)
    unknown = set()
    for asset, generations in in_two_generations(hits).items():
        if before.get(asset) == kept[asset]:
            continue
        named = after.get(asset)
        if named is not None and named in generations - {kept[asset]}:
            kept[asset] = named
        else:
            unknown.add(asset)
    return Settled(_only(hits, kept), frozenset(unknown))


def _newest(hits: Hits) -> dict[str, str]:
    newest: dict[str, tuple[int, str]] = {}
    for found in hits.values():
        for hit in found:
            payload = hit.payload
            written = payload["sequence"], payload["generation"]
            newest[payload["asset_id"]] = max(newest.get(payload["asset_id"], written), written)
    return {asset: generation for asset, (_, generation) in newest.items()}


def _only(hits: Hits, kept: Mapping[str, str]) -> dict[str, list[Hit]]:
    return {
        name: [hit for hit in found if hit.payload["generation"] == kept[hit.payload["asset_id"]]]
        for name, found in hits.items()
    }
