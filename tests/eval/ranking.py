"""`python -m tests.eval.ranking`: in which order mixed lists are best, and what exact words find.

nDCG@10 of lists of pictures, sounds, videos and texts together, by cosine, by how far they stand
out of each list, and by the calibrated share; recall of searches for a name or a number, with and
without the words themselves. On the demo's media, and on the stamps of `make eval` where they are
installed. With --write the tables in docs/retrieval.md are made anew.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.loading import load_encoder
from encoders.mini.stamps import STAMPS, read_stamps
from pipeline.index.types import Hit
from pipeline.index.vector_index import open_index
from pipeline.models.spaces import cards_of
from pipeline.run.whole_run import run_index
from pipeline.search.calibrate import EVERYDAY, calibrate, scale_of
from pipeline.search.labelled import read_queries
from pipeline.search.ranking import FoundList, ranked
from pipeline.search.request import Ranking, SearchRequest, Term, TermKind
from pipeline.search.searcher import Searcher, open_searcher
from pipeline.settings import Settings, load_settings
from pipeline.words import words_in
from tests.eval.figures import Vectors, World, read_paraphrases

K = 10
BEGIN, END = "<!-- rankings: `python -m tests.eval.ranking --write` -->", "<!-- end of rankings -->"
DEMO = Path("infra/demo")
PARAPHRASES = Path("infra/eval/paraphrases.tsv")
NAMED = {
    Ranking.COSINE: "cosine",
    Ranking.SPREAD: "standing out of the list (z)",
    Ranking.SHARE: "calibrated share",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A set of searches, and a figure of it for each way."""

    searches: str
    queries: int
    figures: Mapping[str, float]


def ndcg(order: Sequence[str], right: frozenset[str]) -> float:
    """Of answers that are right or not, the first K; each answer counts once."""
    gains = [1 / math.log2(n + 2) for n, answer in enumerate(order[:K]) if answer in right]
    ideal = [1 / math.log2(n + 2) for n in range(min(K, len(right)))]
    return sum(gains) / sum(ideal)


def demo_settings(folder: Path, media: Path) -> Settings:
    return load_settings(
        None,
        {
            "source.folder": media,
            "encode.encoder": "sensedex-mini",
            "embed.engine": "loop",
            "index.path": folder / "qdrant",
            "state.location": str(folder / "state"),
            "search.calibration_vectors": 0,
        },
    )


def rankings_of_the_demo(searcher: Searcher) -> Row:
    """The demo's labelled words over everything: right is the asset that the list names, and each
    whose name has the thing in it, or whose text is the query."""
    queries = [q for q in read_queries(DEMO / "queries.jsonl") if q.modality == "text"]
    keys = _all_keys(searcher)
    figures: dict[str, list[float]] = {name: [] for name in NAMED.values()}
    for query in queries:
        things = words_in(query.query).keys() - words_in("a an the colorful big of").keys()
        right = {answer.key for answer in query.expected}
        right |= {key for key in keys if things & words_in(Path(key).stem).keys()}
        for ranking, name in NAMED.items():
            asked = SearchRequest(
                query.request.terms, limit=4 * K, per_asset=1, words=False, ranking=ranking
            )
            order = [moment.key for moment in searcher.search(asked)]
            figures[name].append(ndcg(order, frozenset(right)))
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    return Row("demo: words over pictures, sounds, videos, texts", len(queries), means)


def _all_keys(searcher: Searcher) -> frozenset[str]:
    everything = SearchRequest((Term(TermKind.WORDS, "a"),), limit=1000, words=False)
    return frozenset(moment.key for moment in searcher.search(everything))


def rankings_of_stamps(world: World) -> Iterator[Row]:
    """Words said otherwise over all pictures, sounds and captions of the stamps, in one list."""
    stamps = world.stamps.learned
    seen, sounds = world.seen(stamps, "other ground"), world.sounds(world.heard)
    captions = world.words(world.captions)
    stored = {"vision": seen, "audio": sounds, "text": captions}
    things = {
        "vision": world.things(stamps),
        "audio": world.things(world.heard),
        "text": world.caption_things,
    }
    background = world.words(EVERYDAY)
    levels = {
        name: scale_of("text", name, background @ vectors.T).level
        for name, vectors in stored.items()
    }
    heard = frozenset(things["audio"])
    for what, pairs in read_paraphrases(world, PARAPHRASES).items():
        for among, names in (("pictures and sounds", ("vision", "audio")), ("all", tuple(stored))):
            chosen = [(c, w) for c, w in pairs if world.numbers[c] in heard]
            asked = world.words([words for _, words in chosen])
            figures: dict[str, list[float]] = {name: [] for name in NAMED.values()}
            for (caption, _), vector in zip(chosen, asked, strict=True):
                wanted = world.numbers[caption]
                right = frozenset(
                    f"{name} {row}"
                    for name in names
                    for row, thing in enumerate(things[name])
                    if thing == wanted
                )
                lists = [
                    FoundList(0, "", name, _hits(name, stored[name] @ vector), (), levels[name])
                    for name in names
                ]
                for ranking, title in NAMED.items():
                    windows = sorted(ranked(lists, ranking=ranking), key=lambda w: -w.order)
                    order = [window.point_id for window in windows]
                    figures[title].append(ndcg(order, right))
            means = {name: float(np.mean(values)) for name, values in figures.items()}
            yield Row(f"stamps: {what}, over {among}", len(chosen), means)


def _hits(name: str, cosines: Vectors) -> list[Hit]:
    """The fifty nearest, as a search asks for."""
    rows = np.argsort(-cosines)[:50]
    return [Hit(f"{name} {row}", float(cosines[row]), {}) for row in rows.tolist()]


def named_media(folder: Path) -> list[tuple[str, str, str]]:
    """The demo's media, and its pictures again under a camera's names with captions that nobody
    could see in them. The searches: kind, words, the key that is right."""
    shutil.copytree(DEMO / "media", folder, dirs_exist_ok=True)
    pictures = sorted(p for p in (DEMO / "media/photos").glob("*.jpg"))
    people = ("Miller", "Okonkwo", "Sørensen", "Nakamura", "Bäcker", "O'Brien", "Dvořák", "Ivanova")
    searches: list[tuple[str, str, str]] = []
    camera = folder / "2026"
    camera.mkdir()
    for number, picture in enumerate(pictures):
        name = f"IMG_{2041 + 7 * number}"
        shutil.copy(picture, camera / f"{name}.jpg")
        key = f"2026/{name}.jpg"
        person, order = people[number % len(people)], 48_211 + 97 * number
        (camera / f"{name}.txt").write_text(f"Order {order} for {person} {chr(65 + number)}12.\n")
        searches += [("a file's name", name, key), ("a number", str(order), key)]
        searches += [("a name and a code", f"{person} {chr(65 + number)}12", key)]
    searches += [("a picture's subject", p.stem.replace("-", " "), f"photos/{p.name}")
                 for p in pictures]  # fmt: skip
    return searches


def exact_words(searcher: Searcher, searches: Sequence[tuple[str, str, str]]) -> Iterator[Row]:
    for kind in dict.fromkeys(kind for kind, _, _ in searches):
        asked = [(words, key) for each, words, key in searches if each == kind]
        figures = {}
        for way, with_words in (("vectors alone", False), ("and the words", True)):
            places = []
            for words, key in asked:
                terms = (Term(TermKind.WORDS, words),)
                request = SearchRequest(terms, limit=K, per_asset=1, words=with_words)
                order = [moment.key for moment in searcher.search(request)]
                places.append(order.index(key) if key in order else K)
            for k in (1, 5):
                figures[f"@{k}, {way}"] = float(np.mean([place < k for place in places]))
        yield Row(kind, len(asked), figures)


def table(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0].figures)
    lines = [f"| searches | queries | {' | '.join(names)} |"]
    lines.append("| --- | ---: |" + " ---: |" * len(names))
    for row in rows:
        cells = " | ".join(f"{row.figures[name]:.3f}" for name in names)
        lines.append(f"| {row.searches} | {row.queries} | {cells} |")
    return lines


def measured(stamps: Path, say: Callable[[str], None]) -> list[str]:
    """The two tables, as Markdown."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        say("indexing the demo's media")
        settings = demo_settings(place / "demo", DEMO / "media")
        run_index(settings)
        _calibrate(settings)
        with open_searcher(settings) as searcher:
            rows.append(rankings_of_the_demo(searcher))
        if stamps.is_dir():
            say("the stamps")
            encoder = load_encoder("sensedex-mini", None, precision="fp32")
            rows += rankings_of_stamps(World(encoder, read_stamps(stamps), place))
        say("indexing it with names")
        searches = named_media(place / "named")
        settings = demo_settings(place / "with_names", place / "named")
        run_index(settings)
        with open_searcher(settings) as searcher:
            words = list(exact_words(searcher, searches))
    return ["nDCG@10 of mixed lists:", "", *table(rows), "", "Recall of exact words:", "",
            *table(words)]  # fmt: skip


def _calibrate(settings: Settings) -> None:
    wanted = settings.model_copy(
        update={"search": settings.search.model_copy(update={"calibration_vectors": 1000})}
    )
    with open_index(settings.index) as index:
        calibrate(wanted, index, cards_of(settings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stamps", type=Path, default=STAMPS)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = measured(options.stamps, print)
    print("\n".join(lines))
    if options.write:
        page = Path("docs/retrieval.md")
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        text = "\n".join(lines)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
