"""Rebuilds to another encoder, beside the old one or in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoders.modality import Modality
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.alias import roll_back
from pipeline.rebuild.gate import GateRefused
from pipeline.rebuild.rebuild import rebuild
from pipeline.records import Status, VectorSpace
from pipeline.settings import Settings
from tests.pipeline.rebuild.scene import (
    OPTIONS,
    assert_same,
    indexed,
    opened,
    points_of,
    settings_of,
)
from tests.support.alias_reader import ASSETS, expected
from tests.support.invented_assets import SPACES, live
from tests.support.small_runs import run_of


def other_spaces(prefix: str, encoder: str, dimension: int) -> tuple[VectorSpace, ...]:
    return tuple(
        VectorSpace(f"{prefix}{m}", m, dimension, encoder, f"of {encoder}")
        for m in (Modality.VISION, Modality.AUDIO)
    )


def test_to_another_encoder_beside_the_old_one(settings: Settings) -> None:
    """A state and a collection of their own are filled while the old ones serve; the alias flips
    when nothing that readers see is missing, and they go on asking the old vectors."""
    folder = settings.index.path.parent
    both = (*SPACES, *other_spaces("newer_", "newer", 4))
    more = {"state__location": str(folder / "state-next")}
    beside = settings_of(folder, **more, index__collection="media-next")
    flipping = settings_of(folder, **more)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        old = points_of(collections, "media")
        aside = VectorIndex(collections.connection, beside.index)
        aside.ensure_collection(both)
        most = {key: ("h1", n) for key, (_, n) in list(ASSETS.items())[:8]}
        run_of(beside, aside, most, spaces=both)
        assert_same(points_of(collections, "media"), old)
        with pytest.raises(GateRefused, match=r"2 assets .*'08.mp4', '09.mp4'"):
            rebuild(flipping, OPTIONS, collections)
        assert collections.behind("media") == "media-1"
        rest = {key: ("h1", n) for key, (_, n) in list(ASSETS.items())[8:]}
        run_of(beside, aside, rest, spaces=both)
        done = rebuild(flipping, OPTIONS, collections)
        assert (done.went_on, done.shows) == (True, "media-2")
        assert {r.vector_name for r in done.recalls} == {s.vector_name for s in both}
        assert live(index) == expected({**most, **rest})
        assert index.query("newer_vision", np.ones(4, np.float32) / 2, 3)
        back = roll_back(flipping, collections)
        assert not back.same_spaces
        assert_same(points_of(collections, "media"), old)


def test_an_encoder_that_takes_the_place_of_the_old_is_asked_for(settings: Settings) -> None:
    """Its vectors have the names of the old ones and mean something else: a reader would not see
    an error, only nonsense."""
    folder = settings.index.path.parent
    more = {"state__location": str(folder / "state-next")}
    aside = settings_of(folder, **more)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        alone = other_spaces("", "newer", 8)
        run_of(aside, None, {key: ("h1", n) for key, (_, n) in ASSETS.items()}, spaces=alone)
        with pytest.raises(GateRefused, match="vectors of the same encoder") as refused:
            rebuild(aside, OPTIONS, collections)
        assert "--new-vectors" in refused.value.remedy
        assert collections.names() == {"media-1"}, "it was found out too late"
        done = rebuild(aside, replace(OPTIONS, new_vectors=True), collections)
        assert done.shows == "media-2"
        assert not roll_back(aside, collections).same_spaces
        assert live(index) == expected(ASSETS)


def test_a_failed_object_of_another_encoder_is_left_out_and_named(settings: Settings) -> None:
    newer = tuple(replace(space, fingerprint="newer") for space in SPACES)
    with opened(settings) as (collections, index):
        indexed(settings, index)
        good = {key: ("g2", n) for key, (_, n) in ASSETS.items() if key != "04.mp4"}
        run_of(settings, index, good, bad_ones={"04.mp4": Status.FAILED}, spaces=newer)
        with pytest.raises(GateRefused, match=r"1 assets .*'04.mp4'"):
            rebuild(settings, OPTIONS, collections)
        done = rebuild(settings, replace(OPTIONS, allow_missing=True), collections)
        assert (done.left_out, done.assets) == (1, 9)
        assert live(index) == expected(good)
