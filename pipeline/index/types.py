"""Records that go into a collection and come out of it. Without Qdrant's client, which takes a
second to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.index.conditions import Condition

OF_HITS = (
    "asset_id", "generation", "sequence", "segment_index", "start_ms", "end_ms", "key", "uri",
    "media_type",
)  # fmt: skip
"""What of a payload a hit needs to be ranked and merged."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An asset's one point beside its segments: which generation is live, and, where
    `index.anchor_vectors` says so, the mean vectors."""

    asset_id: str
    generation: str
    segment_ids: tuple[str, ...]
    vectors: Mapping[str, NDArray[np.float32]]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One point that a query found."""

    point_id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class WindowsAsk:
    """The live windows nearest to `vector` by the vector of that name, (D,) float32; without a
    vector those that the conditions let through, in any order. `among`: of these points alone.
    `per_asset`: at most so many of an asset, and `limit` assets; 0 for `limit` windows. `fields`:
    of their payloads, all without any; `OF_HITS` where most are merged, and never shown."""

    vector_name: str
    vector: NDArray[np.float32] | None
    limit: int
    where: tuple[Condition, ...] = ()
    among: tuple[str, ...] = ()
    exact: bool = False
    per_asset: int = 0
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowsAsked:
    """Several of these at once, in one request: the answer is a list of hits for each."""

    asks: tuple[WindowsAsk, ...]


@dataclass(frozen=True, slots=True)
class AnchorsAsked:
    """Of the assets whose anchor says so, the generation that is live, by asset."""

    asset_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorsAsked:
    """The stored vectors of points, (D,) float32 by name, by point id; of those that are there."""

    point_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PayloadsAsked:
    """The payloads of points, by point id; of those that are there."""

    point_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountAsked:
    """How many live windows there are, as far as the index knows without counting."""


Asked = WindowsAsked | AnchorsAsked | VectorsAsked | PayloadsAsked | CountAsked
"""What a search may want to know. `Asker.ask` answers it, `AsyncAsker.ask` for who awaits."""
