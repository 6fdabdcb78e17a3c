"""A search by asset beside one long film: which assets are first, and what each has, is what all
windows of the collection say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encoders.modality import Modality
from pipeline.index.asking import Asker
from pipeline.index.types import OF_HITS, Asked, Hit, WindowsAsk, WindowsAsked
from pipeline.index.vector_index import VectorIndex
from pipeline.search.by_asset import WINDOWS_PER_MOMENT, Lists, with_windows_of
from pipeline.search.driving import drive
from pipeline.search.query import Query, QueryTerm
from pipeline.search.ranking import FoundList
from pipeline.search.steps import Found, search_steps
from tests.support.fixtures_qdrant import WAYS, opened_index
from tests.support.invented_assets import unit

WINDOWS = {"long.mp4": 300, **{f"{number}.mp4": 8 for number in range(12)}, "still.jpg": 1}
PER_ASSET = 3
WORDS = QueryTerm(Modality.TEXT, unit("words"), label="words")


@pytest.fixture(params=["folder", *WAYS])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    assets = [(key, "g", n) for key, n in WINDOWS.items()]
    with opened_index(request, request.param, tmp_path, assets) as index:
        yield index


class Recorded:
    """Answers, and keeps what windows were asked for."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.asks: list[tuple[WindowsAsk, ...]] = []
        self.told: list[tuple[str, bytes, str]] = []  # cosines that were asked for by id

    def ask(self, asked: Asked) -> Any:
        answer = self._asker.ask(asked)
        if isinstance(asked, WindowsAsked):
            self.asks.append(asked.asks)
            self.told += [
                (one.vector_name, one.vector.tobytes(), hit.point_id)
                for one, hits in zip(asked.asks, answer, strict=True)
                if one.among and one.vector is not None
                for hit in hits
            ]
        return answer

    @property
    def kinds(self) -> list[str]:
        """Of each request: of all assets or of some, and whether Qdrant grouped them."""
        return [
            ("groups" if one.per_asset else "nearest") + (" of some" if one.where else "")
            for asks in self.asks
            for one in asks
        ]


def cosines(key: str, term: QueryTerm) -> list[float]:
    """Of all windows of an asset, the highest first."""
    found = (float(unit(key, "g", n) @ term.vector) for n in range(WINDOWS[key]))
    return sorted(found, reverse=True)


def searched(index: VectorIndex, term: QueryTerm = WORDS, **more: Any) -> tuple[Found, list[str]]:
    recorded = Recorded(index.asker())
    query = Query((term,), ("vision",), group=True, per_asset=PER_ASSET, **more)
    return drive(search_steps(query), recorded), recorded.kinds


def check(answer: Found, places: slice, term: QueryTerm = WORDS) -> None:
    every = {key: cosines(key, term) for key in WINDOWS}
    order = sorted(every, key=lambda key: -every[key][0])[places]
    assert list(dict.fromkeys(moment.key for moment in answer.moments)) == order
    for key in order:
        mine = [moment for moment in answer.moments if moment.key == key]
        assert mine[0].cosine == pytest.approx(every[key][0], abs=1e-4)
        assert 1 <= len(mine) <= PER_ASSET
        # Its weakest moment is at least as near as the window that comes after all it may show.
        least = min(len(every[key]), WINDOWS_PER_MOMENT * PER_ASSET)
        assert mine[-1].cosine >= every[key][least - 1] - 1e-4
        assert len({moment.best_ms for moment in mine}) == len(mine)
        if key == "long.mp4":
            assert len(mine) == PER_ASSET


def test_nearest_windows_mostly_name_enough(filled: VectorIndex) -> None:
    answer, kinds = searched(filled, limit=2)
    check(answer, slice(2))
    assert answer.more
    assert kinds == ["nearest", "nearest of some"]


def test_who_has_enough_is_not_asked_for(filled: VectorIndex) -> None:
    """The long film has; the other one's windows are behind all of its."""
    alone = QueryTerm(Modality.TEXT, unit("3.mp4", "g", 5), label="alone")
    answer, kinds = searched(filled, alone, limit=2)
    check(answer, slice(2), alone)
    assert answer.moments[0].key == "3.mp4"
    assert kinds == ["nearest", "nearest of some"]


def hits(asset: str, windows: range, generation: str = "g") -> list[Hit]:
    return [
        Hit(f"{asset}-{generation}-{n}", 1 - n / 1000,
            {"asset_id": asset, "generation": generation, "sequence": 1, "segment_index": n})
        for n in windows
    ]  # fmt: skip


ASK = WindowsAsk("vision", unit("words"), 50)
FULL = FoundList(
    0, "", "vision", [*hits("a", range(1)), *hits("b", range(1)), *hits("c", range(48))]
)


def test_whose_windows_another_covers_is_asked_for_apart() -> None:
    """All that were asked for are of one; of the other there may be more."""
    steps = with_windows_of(["a", "b"], [FULL], [ASK], PER_ASSET)
    (first,) = asked_next(steps, None)
    assert (first.limit, first.per_asset) == (2 * PER_ASSET * WINDOWS_PER_MOMENT, 0)
    (second,) = asked_next(steps, [hits("a", range(first.limit))])
    assert second.where[-1].any_of == ("b",)
    assert (second.limit, second.per_asset) == (1, PER_ASSET * WINDOWS_PER_MOMENT)
    (found,) = returned(steps, [hits("b", range(4))])
    assert found.hits[:50] == FULL.hits
    counts = Counter(hit.payload["asset_id"] for hit in found.hits)
    assert counts == {"a": first.limit, "b": 4, "c": 48}


def test_what_a_flip_replaced_meanwhile_is_not_mixed() -> None:
    steps = with_windows_of(["a", "b"], [FULL], [ASK], PER_ASSET)
    asked_next(steps, None)
    (found,) = returned(steps, [[*hits("a", range(3), "newer"), *hits("b", range(3))]])
    generations = {(hit.payload["asset_id"], hit.payload["generation"]) for hit in found.hits}
    assert generations == {("a", "g"), ("b", "g"), ("c", "g")}


def test_a_list_that_was_not_filled_holds_all() -> None:
    short = replace(FULL, hits=FULL.hits[:49])
    assert returned(with_windows_of(["a", "b"], [short], [ASK], PER_ASSET), None) == [short]


def asked_next(steps: Lists, answers: Any) -> tuple[WindowsAsk, ...]:
    asked = steps.send(answers)
    assert isinstance(asked, WindowsAsked)
    return asked.asks


def returned(steps: Lists, answers: Any) -> list[FoundList]:
    with pytest.raises(StopIteration) as ended:
        steps.send(answers)
    found: list[FoundList] = ended.value.value
    return found


def test_where_they_are_of_a_few_qdrant_groups(filled: VectorIndex) -> None:
    answer, kinds = searched(filled, limit=20)
    check(answer, slice(20))
    assert not answer.more
    assert kinds[:3] == ["nearest", "groups", "nearest of some"]


def test_pages(filled: VectorIndex) -> None:
    first, _ = searched(filled, limit=4)
    second, _ = searched(filled, limit=4, offset=4)
    check(first, slice(4))
    check(second, slice(4, 8))
    whole, _ = searched(filled, limit=8)
    assert [m.key for m in whole.moments] == [m.key for m in (*first.moments, *second.moments)]


def test_both_vectors_and_words_that_are_required(filled: VectorIndex) -> None:
    """Each asset once, its moments together, whatever found them."""
    query = Query(
        (WORDS, QueryTerm(Modality.TEXT, unit("more"), label="more", required=True, part=1)),
        ("vision", "audio"), group=True, limit=5, words=("long",),
    )  # fmt: skip
    recorded = Recorded(filled.asker())
    answer = drive(search_steps(query), recorded)
    assert all(ask.fields == OF_HITS for asks in recorded.asks for ask in asks)
    assert all("etag" in moment.payload for moment in answer.moments)
    keys = [moment.key for moment in answer.moments]
    assert [k for n, k in enumerate(keys) if n == 0 or keys[n - 1] != k] == list(
        dict.fromkeys(keys)
    )
    assert len(set(keys)) == 5
    assert keys[0] == "long.mp4"
    assert all({"vision"} <= {one.vector_name for one in m.why} for m in answer.moments)
    assert all(len(m.why) >= 2 for m in answer.moments), "each question has its cosine"
    assert recorded.told
    assert max(Counter(recorded.told).values()) == 1, "what was told is not asked for again"


class HidesOnce:
    """Answers, and leaves an asset's windows out the first time that windows are asked for by id,
    as where a flip comes between two requests."""

    def __init__(self, asker: Asker, asset_id: str) -> None:
        self._asker = asker
        self._asset = asset_id
        self.hidden = 0

    def ask(self, asked: Asked) -> Any:
        answer = self._asker.ask(asked)
        by_id = isinstance(asked, WindowsAsked) and any(one.among for one in asked.asks)
        if not by_id or self.hidden:
            return answer
        kept = [[hit for hit in hits if hit.payload["asset_id"] != self._asset] for hits in answer]
        self.hidden = sum(map(len, answer)) - sum(map(len, kept))
        return kept


def test_an_asset_that_a_flip_hid_at_first_comes_last(filled: VectorIndex) -> None:
    """A window needs both of what is required, so its first answers have no window of the asset."""
    both = (
        replace(WORDS, required=True, part=0),
        QueryTerm(Modality.TEXT, unit("more"), label="more", required=True, part=1),
    )
    query = Query(both, ("vision",), group=True, limit=20)
    usual = drive(search_steps(query), filled.asker()).moments
    order = list(dict.fromkeys((moment.key, moment.asset_id) for moment in usual))
    # Not the long film, which has windows that both questions found, and is never lost.
    (hidden, asset_id), *others = order[1:]
    asker = HidesOnce(filled.asker(), asset_id)
    found = drive(search_steps(query), asker).moments
    assert asker.hidden > 0
    keys = list(dict.fromkeys(moment.key for moment in found))
    assert keys == [order[0][0], *(key for key, _ in others), hidden]


def test_folded_by_asset_a_page_is_full(filled: VectorIndex) -> None:
    """What is folded is filled up from the next page."""
    query = Query((WORDS,), ("vision",), group=True, limit=3, per_asset=1)
    apart = drive(search_steps(replace(query, limit=13)), filled.asker()).moments
    answer = drive(search_steps(replace(query, fold_above=0.1)), filled.asker())
    assert any(moment.copies for moment in answer.moments)
    assert len({moment.asset_id for moment in answer.moments}) == 3
    assert {moment.key for moment in answer.moments} <= {moment.key for moment in apart}
