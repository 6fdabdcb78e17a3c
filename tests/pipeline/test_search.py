"""What a search shows of its answers: the number that orders them, and a cosine that is one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from encoders.modality import Modality
from flows.cli.render import render_moments
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import MediaType
from pipeline.search.moments import Moment
from pipeline.search.query import Query, QueryTerm
from pipeline.search.searcher import search_index
from pipeline.settings_index import IndexSettings
from tests.support.invented_assets import SPACES, load, unit

KEYS = ("a.mp4", "b.mp4", "c.mp4")
LINE = re.compile(r"^(\d+)  (-?\d+\.\d{3})  .* cosine (-?\d+\.\d{3}) by (\w+)$", re.M)
WORDS = QueryTerm(Modality.TEXT, unit("words"))
PICTURE = QueryTerm(Modality.VISION, unit("a.mp4", "g", 3))
SOUND = QueryTerm(Modality.AUDIO, unit("b.mp4", "g", 4, "sound"))
AWAY = QueryTerm(Modality.TEXT, unit("other words"), -1.0)
QUERIES = {
    "words over one": Query((WORDS,), ("vision",)),
    "words over two": Query((WORDS,), ("vision", "audio")),
    "a picture": Query((PICTURE,), ("vision",)),
    "a sound over two": Query((SOUND,), ("audio", "vision")),
    "a sum over two": Query((WORDS, PICTURE, SOUND), ("vision", "audio")),
    "minus": Query((PICTURE, AWAY), ("vision", "audio")),
    "one answer": Query((PICTURE,), ("vision", "audio"), limit=1),
    "only videos": Query((WORDS,), ("vision", "audio"), media_type=MediaType.VIDEO),
    "only sounds": Query((WORDS,), ("vision", "audio"), media_type=MediaType.AUDIO),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    """Three videos of 8 windows; every other one has sound."""
    folder: Path = tmp_path_factory.mktemp("index")
    with open_index(IndexSettings(path=folder / "qdrant")) as opened:
        opened.ensure_collection(SPACES)
        load(opened, folder, [(key, "g", 8) for key in KEYS])
        yield opened


def own_cosine(query: Query, moment: Moment) -> float:
    """Of the vectors themselves, past Qdrant and past the fusion."""
    of_sound = ("sound",) if moment.vector_name == "audio" else ()
    window = unit(moment.key, "g", moment.payload["segment_index"], *of_sound)
    return float(np.dot(query.vector(), window))


@pytest.mark.parametrize("kind", QUERIES)
def test_what_is_shown_is_what_orders(kind: str, index: VectorIndex) -> None:
    query = QUERIES[kind]
    moments = search_index(index, query)
    assert bool(moments) == (query.media_type is not MediaType.AUDIO)
    for moment in moments:
        assert moment.vector_name in query.using
        assert moment.start_ms <= moment.payload["start_ms"] < moment.end_ms
        assert moment.cosine == pytest.approx(own_cosine(query, moment), abs=1e-5)
        if len(query.using) == 1:
            assert moment.score == moment.cosine
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render_moments(moments))
    lines = LINE.findall(console.export_text())
    assert [int(number) for number, *_ in lines] == list(range(1, len(moments) + 1))
    scores = [float(score) for _, score, *_ in lines]
    assert all(better >= worse for better, worse in pairwise(scores))
    assert [(float(cosine), name) for *_, cosine, name in lines] == [
        (pytest.approx(moment.cosine, abs=1e-3), moment.vector_name) for moment in moments
    ]


def test_a_fused_order_is_not_that_of_the_cosines(index: VectorIndex) -> None:
    """Else the tests above would say nothing."""
    cosines = [moment.cosine for moment in search_index(index, QUERIES["words over two"])]
    assert cosines != sorted(cosines, reverse=True)
