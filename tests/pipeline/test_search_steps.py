"""Searches of a collection, on the local engine and by REST and gRPC: what is required, filtered,
grouped, paged, folded, found by its words; and in how many requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.modality import Modality
from pipeline.errors import SettingsError
from pipeline.index.async_asking import open_async_asker
from pipeline.index.conditions import Condition, parse_condition
from pipeline.index.types import Asked, PayloadsAsked
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.search.calibration import FORMAT, KEPT_AS, LEVELS, Calibration, PairScale
from pipeline.search.driving import drive, drive_awaited
from pipeline.search.moments import Moment
from pipeline.search.query import Query, QueryTerm
from pipeline.search.request import Ranking, Term, TermKind
from pipeline.search.steps import Found, search_steps
from pipeline.search.stored import stored_terms
from pipeline.settings_index import IndexSettings
from tests.support.fixtures_qdrant import WAYS, Served, only_stand_ins, opened_index
from tests.support.invented_assets import SPACES, load, unit

KEYS = ("films/IMG_2041.mp4", "films/park.mp4", "b.mp4", "c.mp4")
WORDS = QueryTerm(Modality.TEXT, unit("words"), label="words")
BOTH = ("vision", "audio")
HEARD_WITHIN_S = 60.0


@pytest.fixture(params=["folder", *WAYS])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    """Four videos of 8 windows; every other one has sound."""
    assets = [(key, "g", 8) for key in KEYS]
    with opened_index(request, request.param, tmp_path, assets) as index:
        yield index


def found(index: VectorIndex, query: Query, **more: Any) -> Found:
    return drive(search_steps(query, **more), index.asker())


def told(moments: Sequence[Moment]) -> list[Any]:
    """A sum of floats may end in another digit when it is done again."""
    return [
        (m.key, m.start_ms, m.end_ms, round(m.score, 4), m.words, m.copies,
         {name: round(cosine, 4) for name, cosine in m.cosines.items()})
        for m in moments
    ]  # fmt: skip


def keys(moments: Sequence[Any]) -> list[str]:
    return [moment.key for moment in moments]


def test_all_that_is_required_is_in_the_first(filled: VectorIndex) -> None:
    """The sum of two pictures is content with either; each required, one window has to be like
    both, and only those that have both vectors are asked."""
    seen, heard = unit("b.mp4", "g", 2), unit("b.mp4", "g", 2, "sound")
    alone = unit("c.mp4", "g", 4)  # as near as can be to one of them, in another window
    terms = (
        QueryTerm(Modality.VISION, (seen + 0.2 * alone).astype(np.float32), required=True, part=1),
        QueryTerm(Modality.AUDIO, heard, required=True, part=2),
    )
    query = Query(terms, BOTH, using_of_part=((1, ("vision",)), (2, ("audio",))), limit=8)
    moments = found(filled, query).moments
    first = moments[0]
    assert (first.key, first.start_ms, first.end_ms) == ("b.mp4", 4000, 6000)
    assert {one.vector_name for one in first.why} == {"vision", "audio"}
    assert all(moment.payload["has_audio"] for moment in moments)


def test_pages_hold_all_moments_once(filled: VectorIndex) -> None:
    query = Query((WORDS,), BOTH, limit=100, per_asset=100)
    whole = found(filled, query).moments
    paged, offset = [], 0
    while True:
        page = found(filled, replace(query, limit=3, offset=offset, per_asset=100))
        assert len(page.moments) == 3 or not page.more
        paged += page.moments
        offset += 3
        if not page.more:
            break
    assert told(paged) == told(whole)


def test_grouped_by_asset(filled: VectorIndex) -> None:
    answer = found(filled, Query((WORDS,), ("vision",), limit=2, group=True, per_asset=2))
    shown = keys(answer.moments)
    assert len(set(shown)) == 2
    assert answer.more
    assert all(moment.payload["mime"] == "video/mp4" for moment in answer.moments), "in full"
    assert [k for n, k in enumerate(shown) if n == 0 or shown[n - 1] != k] == list(
        dict.fromkeys(shown)
    )
    rest = found(filled, Query((WORDS,), ("vision",), limit=2, offset=2, group=True, per_asset=2))
    assert set(keys(rest.moments)) == set(KEYS) - set(shown)
    assert not rest.more


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("key=b.mp4", {"b.mp4"}),
        ("key!=b.mp4", set(KEYS) - {"b.mp4"}),
        ("key^=films/", {"films/IMG_2041.mp4", "films/park.mp4"}),
        ("type=video", set(KEYS)),
        ("type=image,audio", set()),
        ("date=2026-01", set(KEYS)),
        ("date>2026-01-02", set()),
        ("size<1k", set(KEYS)),
        ("size>1k", set()),
        ("duration>=16s", set(KEYS)),
        ("duration>16s", set()),
        ("word=img_2041", {"films/IMG_2041.mp4"}),
    ],
)
def test_conditions(filled: VectorIndex, where: str, wanted: set[str]) -> None:
    query = Query((WORDS,), ("vision",), where=(parse_condition(where),), limit=100)
    assert set(keys(found(filled, query).moments)) == wanted


def test_a_range_of_time(filled: VectorIndex) -> None:
    query = Query((WORDS,), ("vision",), where=(parse_condition("time=2..6"),), limit=100)
    starts = {m.payload["start_ms"] for m in found(filled, query).moments}
    assert starts
    assert starts <= {2000, 4000, 6000}


def test_a_name_is_found_by_itself(filled: VectorIndex) -> None:
    query = Query((QueryTerm(Modality.TEXT, unit("c.mp4", "g", 3)),), ("vision",), limit=8)
    assert found(filled, query).moments[0].key == "c.mp4"
    named = found(filled, replace(query, words=("park", "nobody"), ranking=Ranking.COSINE))
    assert named.moments[0].key == "films/park.mp4"
    assert named.moments[0].words == ("park",)
    assert named.moments[0].why, "its cosine is known, too"


def test_a_collection_without_words_says_so(filled: VectorIndex) -> None:
    query = Query((WORDS,), ("vision",), words=("park",))
    answer = found(filled, query, has_words=False)
    assert answer.moments
    assert "sensedex rebuild" in answer.notes[0]


def test_more_like_a_stored_moment(filled: VectorIndex) -> None:
    term = Term(TermKind.POINT, "films/park.mp4@0:05")
    modalities = {"vision": Modality.VISION, "audio": Modality.AUDIO}
    terms = drive(stored_terms(term, modalities, 0), filled.asker())
    assert {t.modality for t in terms} == {Modality.VISION, Modality.AUDIO}
    first = found(filled, Query(tuple(terms), BOTH)).moments[0]
    assert (first.key, first.payload["start_ms"]) == ("films/park.mp4", 4000)
    with pytest.raises(SettingsError, match="no window"):
        drive(stored_terms(Term(TermKind.POINT, "none.mp4@1"), modalities, 0), filled.asker())


def test_windows_that_are_not_alike_are_not_folded(filled: VectorIndex) -> None:
    """What is alike, tests/pipeline/test_ranking.py says; here vectors are read, and held."""
    query = Query((WORDS,), ("vision",), limit=100, per_asset=20)
    whole = found(filled, query).moments
    apart = found(filled, replace(query, fold_above=0.999)).moments
    assert told(apart) == told(whole)
    together = found(filled, replace(query, fold_above=1e-6)).moments
    assert len(together) < len(whole)
    assert len(together) + sum(m.copies for m in together) == len(whole)


def calibration(*pairs: PairScale) -> Calibration:
    return Calibration(FORMAT, "2026-01-01T00:00:00+00:00", 32, ("f",), pairs)


def scale(vector_name: str, low: float, high: float) -> PairScale:
    return PairScale("text", vector_name, tuple(np.linspace(low, high, len(LEVELS)).tolist()))


def test_a_list_is_ordered_by_the_share_that_it_shows(filled: VectorIndex) -> None:
    """Sound whose cosines are all low comes first where its own is rarer."""
    kept = calibration(scale("vision", -4.0, 4.0), scale("audio", -1.0, 1.0))
    query = Query((WORDS,), BOTH, ranking=Ranking.SHARE, limit=8)
    answer = found(filled, query, calibration=kept)
    scores = [moment.score for moment in answer.moments]
    assert answer.ranking is Ranking.SHARE
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert all(moment.share == pytest.approx(moment.score) for moment in answer.moments)
    assert answer.moments[0].why[0].vector_name == "audio"
    without = found(filled, query)
    assert without.ranking is Ranking.SPREAD
    assert "calibrate" in without.notes[0]


def test_what_belongs_to_a_collection_is_kept_with_it(filled: VectorIndex) -> None:
    filled.keep_metadata({KEPT_AS: "a text", "other": {"a": [1, 2.5]}})
    filled.keep_metadata({KEPT_AS: "another"})
    until = time.monotonic() + HEARD_WITHIN_S
    while filled.metadata()[KEPT_AS] != "another" and time.monotonic() < until:
        time.sleep(0.05)  # three nodes agree first, and the one that is asked may hear last
    assert filled.metadata() == {KEPT_AS: "another", "other": {"a": [1, 2.5]}}


class SweptMeanwhile:
    """Answers as a flip leaves it to, so often: what was found first is gone when it is read."""

    def __init__(self, index: VectorIndex, times: int) -> None:
        self._asker, self._left = index.asker(), times

    def ask(self, asked: Asked) -> Any:
        answer = self._asker.ask(asked)
        if isinstance(asked, PayloadsAsked) and self._left:
            self._left -= 1
            del answer[asked.point_ids[0]]
        return answer


def test_a_moment_that_is_shown_is_there_in_full(filled: VectorIndex) -> None:
    query = Query((WORDS,), BOTH, limit=2, group=True)
    plain = found(filled, query)
    assert all("etag" in moment.payload for moment in plain.moments)
    once = drive(search_steps(query), SweptMeanwhile(filled, 1))
    assert told(once.moments) == told(plain.moments)
    assert all("etag" in moment.payload for moment in once.moments)
    ever = drive(search_steps(query), SweptMeanwhile(filled, 1000))
    assert told(ever.moments) == told(plain.moments[1:])


def test_awaited_it_is_the_same(filled: VectorIndex) -> None:
    query = Query((WORDS,), BOTH, words=("park",), limit=5, fold_above=0.99)
    grouped = Query((WORDS,), ("vision",), group=True, limit=2)

    async def ask() -> list[Found]:
        async with open_async_asker(filled, filled._settings) as answers:
            both = (drive_awaited(search_steps(one), answers) for one in (query, grouped))
            return list(await asyncio.gather(*both))

    here = [found(filled, query), found(filled, grouped)]
    awaited = asyncio.run(ask())
    assert [told(one.moments) for one in awaited] == [told(one.moments) for one in here]
    assert [(one.more, one.notes) for one in awaited] == [(one.more, one.notes) for one in here]


@only_stand_ins
def test_mostly_it_asks_once(on_server: VectorIndex, served: Served, tmp_path: Path) -> None:
    load(on_server, tmp_path, [(key, "g", 8) for key in KEYS])
    asker = on_server.asker()
    query = Query((WORDS,), BOTH, words=("nobody",))
    drive(search_steps(query), asker)  # looks at the collection, once a minute
    served.server.requests.clear()
    drive(search_steps(query), asker)
    asked = [path.rpartition("points")[2] for _, path in served.server.requests]
    assert asked == ["/query/batch"]


@only_stand_ins
def test_a_field_without_an_index_is_refused_in_a_sentence(
    on_server: VectorIndex, served: Served, tmp_path: Path
) -> None:
    load(on_server, tmp_path, [("b.mp4", "g", 2)])
    served.server.indexes["media-1"].pop("size_bytes")
    query = Query((WORDS,), ("vision",), where=(Condition("size_bytes", above=1),))
    with pytest.raises(SettingsError, match="cannot be filtered by size_bytes"):
        found(on_server, query)
    served.server.indexes["media-1"]["key"] = "keyword"  # as a server before 1.19 has it
    query = Query((WORDS,), ("vision",), where=(Condition("key", prefix="b"),))
    with pytest.raises(SettingsError, match="key prefixes"):
        drive(search_steps(query), on_server.asker())


def test_a_folder_of_before_has_no_words(tmp_path: Path) -> None:
    settings = IndexSettings(path=tmp_path / "qdrant", payload_exclude=("words",))
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("b.mp4", "g", 2)])
        assert not index.asker().has_index("words")
