"""How lists become one order, what near-duplicates are, and what a calibrated share is. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline import codec
from pipeline.index.types import Hit
from pipeline.search.calibrate import EVERYDAY, scale_of
from pipeline.search.calibration import (
    FORMAT,
    LEVELS,
    Calibration,
    PairScale,
    kept_calibration,
    share_of,
)
from pipeline.search.duplicates import folded
from pipeline.search.moments import Moment, merged_moments
from pipeline.search.ranking import FoundList, WordList, ranked
from pipeline.search.request import Ranking


def hit(name: str, score: float) -> Hit:
    payload = {"asset_id": name, "key": name, "uri": name, "media_type": "image",
               "segment_index": 0, "start_ms": 0, "end_ms": 0}  # fmt: skip
    return Hit(name, score, payload)


def order(lists: list[FoundList], ranking: Ranking, words: list[WordList] | None = None) -> str:
    windows = sorted(ranked(lists, words or [], ranking=ranking), key=lambda w: -w.order)
    return "".join(window.point_id for window in windows)


def found(name: str, hits: dict[str, float], question: int = 0, **more: Any) -> FoundList:
    return FoundList(question, "", name, [hit(n, s) for n, s in hits.items()], **more)


def level(mean: float, spread: float) -> Any:
    return lambda cosine: (cosine - mean) / spread


SEEN = found("vision", {"a": 0.5, "b": 0.45, "c": 0.4}, level=level(0.4, 0.1))
HEARD = found("audio", {"d": 0.2, "e": 0.1, "f": 0.05}, level=level(0.0, 0.05))


def test_a_share_brings_lists_of_two_scales_together() -> None:
    assert order([SEEN, HEARD], Ranking.COSINE) == "abcdef"
    assert order([SEEN, HEARD], Ranking.SHARE)[0] == "d"  # four deviations; `a` has one
    [best] = [w for w in ranked([SEEN, HEARD], ranking=Ranking.SHARE) if w.point_id == "d"]
    assert best.score == best.share == pytest.approx(share_of(4.0))


def test_of_several_questions_the_weakest_answer_counts() -> None:
    first = found("vision", {"a": 0.9, "b": 0.5}, 0, level=level(0, 0.2))
    second = found("vision", {"c": 0.9, "b": 0.5}, 1, more=[hit("a", 0.1)], level=level(0, 0.2))
    assert order([first, second], Ranking.SHARE) == "ba"  # and `c`, which the first never saw, not
    assert order([first, second], Ranking.COSINE) == "ba"


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    rare = WordList("img_2041", [hit("f", 0)], 1, 10_000)
    common = WordList("jpg", [hit("c", 0)], 5_000, 10_000)
    for ranking in (Ranking.SPREAD, Ranking.SHARE):
        assert order([SEEN, HEARD], ranking, [rare, common])[0] == "f"
    assert [w.words for w in ranked([SEEN], [rare], ranking=Ranking.SPREAD) if w.words] == [
        ("img_2041",)
    ]


def test_what_only_a_word_finds_is_a_moment() -> None:
    rare = WordList("img_2041", [hit("z", 0)], 1, 10_000)
    [first, *_] = merged_moments(ranked([SEEN], [rare], ranking=Ranking.SPREAD), per_asset=3)
    assert (first.key, first.vector_name, first.cosine, first.why) == ("z", "words", 0.0, ())


def test_a_scale_is_that_of_the_sample() -> None:
    cosines = np.random.default_rng(3).normal(0.1, 0.02, 200_000).astype(np.float32)
    scale = scale_of("text", "vision", cosines)
    for value in (0.06, 0.1, 0.12, 0.16):
        measured = float((cosines < value).mean())
        assert share_of(scale.level(value)) == pytest.approx(measured, abs=5e-3)
    levels = [scale.level(value) for value in np.linspace(-1, 1, 500)]
    assert all(a <= b for a, b in pairwise(levels))
    assert scale.level(0.25) < scale.level(0.3) < 9  # beyond what was seen, too
    assert scale.cosine_at(0.5) == pytest.approx(0.1, abs=1e-3)


def test_a_sample_of_one_value_is_a_scale_too() -> None:
    scale = scale_of("text", "vision", np.full(50, 0.25, np.float32))
    assert scale.level(0.2) < scale.level(0.3)


def test_a_scale_checks_itself() -> None:
    with pytest.raises(ValueError, match="levels"):
        PairScale("text", "vision", (0.1,))
    with pytest.raises(ValueError, match="rise"):
        PairScale("text", "vision", (0.1,) * len(LEVELS))


def test_what_is_kept_is_of_its_encoders_alone() -> None:
    scale = scale_of("text", "vision", np.linspace(0, 1, 100, dtype=np.float32))
    kept = Calibration(FORMAT, "2026-01-01T00:00:00+00:00", 100, ("f",), (scale,))
    text = codec.to_bytes(kept).decode()
    assert kept_calibration(text, ("f",)) == kept
    assert kept_calibration(text, ("g",)) is None
    assert kept_calibration(None, ("f",)) is None
    assert kept_calibration("{", ("f",)) is None
    assert kept_calibration(text.replace('"format": 1', '"format": 2'), ("f",)) is None
    assert kept.scale("text", "audio") is None


def test_everyday_things_are_many_and_each_once() -> None:
    assert len(EVERYDAY) == len(set(EVERYDAY)) > 80
    assert all(phrase == phrase.strip() and phrase for phrase in EVERYDAY)


def moment(key: str, score: float) -> Moment:
    return Moment(key, key, key, "image", 0, 0, score, score, "vision", {}, point_id=key)


def test_near_duplicates_fold_into_the_best() -> None:
    east, near, north = (np.array(v, np.float32) for v in ([1, 0], [1, 0.05], [0, 1]))
    moments = [moment("a", 0.9), moment("b", 0.8), moment("c", 0.7), moment("d", 0.6)]
    vectors = {
        "a": {"vision": east, "text": north},
        "b": {"vision": near, "text": east},  # other words beside the same picture
        "c": {"vision": north},
        "d": {"vision": east, "audio": east},  # the same with sound is not the same
    }
    shown = folded(moments, vectors, 0.98)
    assert [(m.key, m.copies, m.copy_keys) for m in shown] == [
        ("a", 1, ("b",)), ("c", 0, ()), ("d", 0, ()),
    ]  # fmt: skip
