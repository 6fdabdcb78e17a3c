"""Records that go into a collection and come out of it. Without Qdrant's client, which takes a
second to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
