"""An asset in two generations, and an engine that is killed on the way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.ids import asset_id
from pipeline.index.types import Anchor
from pipeline.index.vector_index import VectorIndex
from tests.support.invented_assets import rows_of, unit

A = asset_id("media", "a.mp4")
"""The asset's id."""
OLD = ("a.mp4", "g1", 2)
NEW = ("a.mp4", "g2", 3)
"""Key, generation and number of segments, as `load` and `rows_of` take them."""


def anchor_of(key: str, generation: str, segments: int, sequence: int) -> Anchor:
    """What the flip of a run with that token writes of the asset."""
    points = tuple(row.point_id for row in rows_of(key, generation, segments))
    payload = {"kind": "asset", "asset_id": A, "generation": generation, "sequence": sequence}
    return Anchor(A, generation, points, {"vision": unit("mean")}, payload)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


def dies_within(index: VectorIndex, steps: int) -> None:
    """The engine's next request does that many of its steps, and the process is gone."""
    client = index._connection.client
    real = client.batch_update_points

    def some(name: str, asked: Sequence[Any], **more: Any) -> Any:
        real(name, asked[:steps], **more)
        raise Killed

    client.batch_update_points = some  # type: ignore[method-assign]
