"""A writer that sleeps between its last look at the lease and its request: what that one request
can still do is bounded, and no reader sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.errors import IndexUnavailable
from pipeline.ids import asset_id
from pipeline.index.updates import IDS_PER_REQUEST
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.settings_index import IndexSettings
from pipeline.state.lease import LeaseLost
from tests.support.fixtures_qdrant import Served
from tests.support.invented_assets import SPACES, live, load, whole

LATE, LATER, NEXT = 4, 5, 6
A_REQUEST = 64


class Sleeper:
    """The lease of a run that is overtaken after its `wakes_at`-th look: that look was still good,
    those that follow are not."""

    def __init__(self, wakes_at: int, overtake: Callable[[], None]) -> None:
        self._wakes_at = wakes_at
        self._overtake = overtake
        self.looks = 0

    def may_write(self) -> None:
        self.looks += 1
        if self.looks - 1 == self._wakes_at:
            self._overtake()
        elif self.looks - 1 > self._wakes_at:
            raise LeaseLost("Another run has the lease.", remedy="None.")


def overtaken(
    settings: IndexSettings, folder: Path, key: str, segments: int, wakes_at: int
) -> Sleeper:
    """A run loads generation `g2` of the asset and is overtaken by one that loads `g3`."""
    one_at_a_time = settings.model_copy(update={"upserts_at_once": 1, "upsert_points": A_REQUEST})

    def overtake() -> None:
        with open_index(settings) as later:
            load(later, folder, [(key, "g3", 4)], LATER)

    sleeper = Sleeper(wakes_at, overtake)
    with open_index(one_at_a_time) as index, suppress(LeaseLost, IndexUnavailable):
        guarded = index.guarded(sleeper.may_write)
        load(guarded, folder, [(key, "g2", segments)], LATE, batch_rows=A_REQUEST)
    return sleeper


def is_as_the_later_run_left_it(index: VectorIndex, key: str) -> None:
    """What the late request left is hidden, of a bounded size, and goes in the next sweep."""
    asset = asset_id("media", key)
    assert live(index)[key] == whole("g3", 4)
    assert index.flipped([asset]) == {asset: (LATER, "g3")}
    assert index.count(live_only=False) - index.count() <= A_REQUEST
    index.sweep_leftovers([asset], NEXT)
    assert index.count(live_only=False) == index.count()
    assert live(index)[key] == whole("g3", 4)


@pytest.mark.parametrize(
    ("segments", "old"),
    [
        pytest.param(130, 0, id="a new asset"),
        pytest.param(130, 2, id="one that is replaced"),
        # Longer than one request of ids may be; a new one's would be no others.
        pytest.param(IDS_PER_REQUEST + 5, 2, id="a long one that is replaced"),
    ],
)
def test_one_late_request_shows_nothing(
    served: Served, tmp_path: Path, segments: int, old: int
) -> None:
    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        never = overtaken(served.settings, tmp_path, "first.mp4", segments, 10**9)
        assert live(index).keys() == {"first.mp4"}
        upserts, flip = range(never.looks - 1), never.looks - 1
        assert len(upserts) == -(-segments // A_REQUEST)
        index.remove([asset_id("media", "first.mp4")], NEXT)
        for wakes_at in {upserts[0], upserts[-1], flip}:
            key = f"{wakes_at}.mp4"
            if old:
                load(index, tmp_path, [(key, "g1", old)], 1)
            assert overtaken(served.settings, tmp_path, key, segments, wakes_at).looks > wakes_at
            is_as_the_later_run_left_it(index, key)


@pytest.mark.parametrize(
    "change",
    [
        lambda index, asset: index.remove([asset], LATE),
        lambda index, asset: index.sweep_leftovers([asset], LATE),
    ],
    ids=["removal", "sweep"],
)
def test_a_late_deletion_takes_nothing_of_the_later_run(
    served: Served, tmp_path: Path, change: Callable[[VectorIndex, str], None]
) -> None:
    key = "a.mp4"

    def overtake() -> None:
        with open_index(served.settings) as later:
            load(later, tmp_path, [(key, "g3", 4)], LATER)

    with open_index(served.settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [(key, "g1", 2)], 1)
        change(index.guarded(Sleeper(0, overtake).may_write), asset_id("media", key))
        is_as_the_later_run_left_it(index, key)
