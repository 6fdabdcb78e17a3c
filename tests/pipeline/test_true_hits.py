"""A small collection by the model in the box: its hits are proved from the bytes on, what left its
folder is stale and plays nowhere, and its cosines are made comparable."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qdrant_client import models as q

from flows.cli.playing import Player
from flows.cli.verify_hits import prove_hits
from pipeline.index.vector_index import open_index
from pipeline.progress import ProgressReporter
from pipeline.run.whole_run import run_index
from pipeline.search.calibrate import calibrate_if_changed
from pipeline.search.calibration import KEPT_AS
from pipeline.search.request import Ranking, SearchRequest, Term, TermKind, asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings, load_settings
from pipeline.verify.hits import HitsReport, verify_hits
from tests.support import media_files

PICTURES = 20


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("true")
    media = folder / "media"
    media.mkdir()
    for number in range(PICTURES):
        (media / f"IMG_{2041 + number}.jpg").write_bytes(media_files.jpeg(number))
    (media / "IMG_2041.txt").write_text("A cow beside the barn of Frau Dvořák.")
    (media / "film.mp4").write_bytes(media_files.mp4(3))
    made = load_settings(
        None,
        {
            "source.folder": media,
            "index.path": folder / "qdrant",
            "state.location": str(folder / "state"),
            "embed.engine": "loop",
        },
    )
    run_index(made)
    return made


def proved(settings: Settings, count: int = 100) -> HitsReport:
    with open_index(settings.index) as index:
        return verify_hits(settings, index.points(), count, 7, ProgressReporter())


def test_hits_are_what_their_bytes_give(settings: Settings) -> None:
    report = proved(settings)
    assert report.windows > PICTURES
    assert report.smallest.keys() == {"vision", "audio", "text"}
    assert report.false == report.stale == ()
    assert min(report.smallest.values()) >= 0.99


def test_a_name_a_person_and_a_stored_moment_are_found(settings: Settings) -> None:
    with open_searcher(settings) as searcher:
        for words in ("IMG_2047", "2047", "img_2047.jpg"):
            assert searcher.search(asked(words))[0].key == "IMG_2047.jpg"
        named = searcher.search(asked("dvorak"))[0]
        assert (named.key, named.words) == ("IMG_2041.jpg", ("dvorak",))
        like = SearchRequest((Term(TermKind.POINT, "IMG_2050.jpg"),), limit=1)
        assert searcher.search(like)[0].key == "IMG_2050.jpg"


def test_a_run_makes_cosines_comparable(settings: Settings) -> None:
    with open_searcher(settings) as searcher:
        kept = searcher.calibration()
        assert kept is not None
        assert kept.segments > PICTURES
        assert ("text", "vision") in {(pair.asked, pair.vector_name) for pair in kept.pairs}
        request = replace(asked("a cow"), ranking=Ranking.SHARE, using=("vision", "audio"))
        answer = searcher.answer(request)
        assert answer.ranking is Ranking.SHARE
        assert answer.notes == ()
        cards = (searcher.card,)
        again = calibrate_if_changed(settings, searcher.index, cards)
        assert again == kept, "nothing has changed: nothing is measured"
        searcher.index.keep_metadata({KEPT_AS: json.dumps({"format": 0})})
        made = calibrate_if_changed(settings, searcher.index, cards)
        assert made is not None
        for one, other in zip(made.pairs, kept.pairs, strict=True):
            assert (one.asked, one.vector_name) == (other.asked, other.vector_name)
            assert one.cosines == pytest.approx(other.cosines, abs=1e-4)


def test_what_is_not_so_is_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    media = settings.source.folder
    assert media is not None
    (media / "IMG_2042.jpg").unlink()
    (media / "IMG_2043.jpg").write_bytes(media_files.jpeg(99))
    with open_index(settings.index) as index, index._call("damaging") as client:
        found, _ = client.scroll(
            settings.index.collection,
            q.Filter(must=[q.FieldCondition(key="key", match=q.MatchValue(value="IMG_2044.jpg")),
                           q.FieldCondition(key="live", match=q.MatchValue(value=True))]),
            with_vectors=True,
        )  # fmt: skip
        vector = {"vision": [-number for number in found[0].vector["vision"]]}  # type: ignore[index,call-overload]
        client.update_vectors(
            settings.index.collection, [q.PointVectors(id=found[0].id, vector=vector)]
        )
    report = proved(settings)
    assert [(check.key, check.vector_name) for check in report.false] == [
        ("IMG_2044.jpg", "vision")
    ]
    assert report.false[0].cosine == pytest.approx(-1, abs=0.01)
    assert {(stale.key, stale.why) for stale in report.stale} == {
        ("IMG_2042.jpg", "object_gone"),
        ("IMG_2043.jpg", "object_changed"),
    }
    assert prove_hits(settings, 100, 7, 3, as_json=True) == 3
    assert json.loads(capsys.readouterr().out)["false"][0]["key"] == "IMG_2044.jpg"
    with open_searcher(settings) as searcher:
        player = Player(settings.source, signed=False)
        for name, why in (("IMG_2042", "object_gone"), ("IMG_2043", "object_changed")):
            [hit] = searcher.search(replace(asked(name), limit=1))
            assert hit.key == f"{name}.jpg"
            assert player.facts(hit) == {"link": None, "stale": why}
            assert "no longer what was indexed" in player.line(hit)
        [still] = searcher.search(replace(asked("IMG_2045"), limit=1))
        assert player.facts(still) == {"link": still.uri, "stale": None}
