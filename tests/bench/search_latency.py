"""How long a search takes, and how many a second are answered: on a real Qdrant server where one is
named, and of folders.

    SENSEDEX_TEST_QDRANT_BIN=PROGRAM python -m tests.bench.search_latency [--json FILE]
        [--points 100000] [--folder-points 10000 100000] [--queries 300] [--seconds 8]

Segments are invented, 50 an asset, with a vision and an audio vector of the bundled model's
dimension each, in a collection made, loaded, flipped and built by the pipeline; the model that
encodes the words is the bundled one. Milliseconds are of the library in this process, one search
at a time: by one vector alone; of remembered words, with their moments; and of words never heard
before, with the model, to the moments of 20 assets. Requests a second are of `sensedex serve`, a
process of its own, asked for remembered words over kept connections by so many clients of this
process, which takes its part of the cores. Beside a load, as it is by default, not held, or held to
a pace: another process gives a fifth of the assets another content, again and again. The cold start
is from the process's start to the page's answer and to the first search's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from pipeline.index.collections import open_collections
from pipeline.index.load import load_shard
from pipeline.index.vector_index import open_index
from pipeline.models.spaces import cards_of, spaces_of
from pipeline.records import ObjectOutcome
from pipeline.search.request import SearchRequest, Term, TermKind
from pipeline.search.searcher import Searcher, open_searcher
from pipeline.settings import load_settings
from pipeline.state.segments import read_segments
from tests.bench.search_clients import MOMENTS, ask, asked_by, loading
from tests.bench.server_load import SEGMENTS_AN_ASSET, shard_files, unit_vectors
from tests.bench.targets import at_most
from tests.support.real_qdrant import QdrantNode, named_binary

NO_SERVER = (
    "A server is not measured: there is no Qdrant server. SENSEDEX_TEST_QDRANT_BIN names its "
    "program."
)

COLLECTION = "search-latency"
CLIENTS = (1, 8, 32)
# Milliseconds at the 50th and the 99th percentile that are asked for on a server.
TARGETS = {"one vector": (10.0, 40.0), "new words": (40.0, 120.0)}
TARGET_COLD_S = 3.0
TARGET_LOADED = 2.0
# `index.points_per_s` of the loads that searches are timed beside (none: by default), and the rows.
UNHELD = 1e9
HELD_LOADS = {
    None: ", while a load runs",
    UNHELD: ", while a load runs, not held",
    1000.0: ", while 1,000 points/s are loaded",
    250.0: ", while 250 points/s are loaded",
}
WHAT = ("a dog", "a red car", "an old man", "children", "a train", "rain", "a violin", "a crowd")
DOES = ("running", "resting", "laughing", "close by", "far away", "singing", "turning round")
WHERE = ("on a beach", "in a street", "under trees", "at a station", "on a stage", "in snow")
WHEN = ("at noon", "at night", "in spring", "long ago", "in black and white", "from above")
READY = re.compile(r"is served on (\S+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--folder-points", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    binary = named_binary()
    with tempfile.TemporaryDirectory(prefix="sensedex-latency-") as name:
        folder = Path(name)
        (folder / "media").mkdir()
        if binary is None:
            print(NO_SERVER)
        else:
            node = QdrantNode(binary, folder / "node")
            node.start()
            try:
                at = {"index.url": node.url, "index.grpc_port": node.grpc_port}
                rows += Bench("server", folder, options.points, options, at).rows()
            finally:
                node.kill()
        for points in options.folder_points:
            at = {"index.path": folder / f"qdrant-{points}"}
            rows += Bench(f"folder of {points:,}", folder, points, options, at).rows()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


class Bench:
    """One engine, filled and asked."""

    def __init__(
        self,
        engine: str,
        folder: Path,
        points: int,
        options: argparse.Namespace,
        at: dict[str, Any],
    ) -> None:
        self.engine, self.points, self.options = engine, points, options
        self.folder = folder / f"{engine}-{points}".replace(" ", "-")
        self.folder.mkdir()
        self.given = {"source.folder": folder / "media", "index.collection": COLLECTION, **at}
        self.settings = load_settings(None, self.given)
        self.phrases = phrases()
        self.known = list(itertools.islice(self.phrases, 20))
        self.made: list[dict[str, Any]] = []
        self.loads: list[tuple[Path, Sequence[ObjectOutcome]]] = []

    def rows(self) -> list[dict[str, Any]]:
        spaces = spaces_of(cards_of(self.settings))
        dimension = spaces[0].dimension
        began = time.perf_counter()
        self._fill(dimension)
        print(
            f"\n{self.engine}: {self.points:,} segments of 2 x {dimension}, filled in "
            f"{time.perf_counter() - began:.0f} s"
        )
        print(f"{'':<58}{'p50':>9}{'p99':>9}{'asked for':>14}{'beside idle':>13}")
        with open_searcher(self.settings) as searcher:
            self._latencies(searcher, dimension, "")
            if self.engine == "server":
                for held, when in HELD_LOADS.items():
                    with loading(self.settings, self.loads, held):
                        self._latencies(searcher, dimension, when)
                    self._wait_built()  # of what a load has left to the server nothing is measured
        with self._served() as url:
            self._rates(url, "")
            if self.engine == "server":
                with loading(self.settings, self.loads):
                    self._rates(url, ", while a load runs")
        return self.made

    def _fill(self, dimension: int) -> None:
        files = self.folder / "shards"
        files.mkdir()
        shards = shard_files(files, "g1", self.points, dimension)
        if self.engine == "server":
            again = max(SEGMENTS_AN_ASSET, self.points // 5)
            replaced = shard_files(files, "g2", again, dimension)
            self.loads = [*replaced, *shards[: len(replaced)]]
        with open_index(self.settings.index) as index:
            index.ensure_collection(spaces_of(cards_of(self.settings)))
            for path, outcomes in shards:
                load_shard(index, read_segments(path), outcomes, 1, "bench")
        self._wait_built()

    def _wait_built(self) -> None:
        with open_collections(self.settings.index) as collections:
            name = collections.behind(COLLECTION) or COLLECTION
            collections.wait_built(name, lambda *_: None)

    def _latencies(self, searcher: Searcher, dimension: int, when: str) -> None:
        queries = self.options.queries
        vectors = unit_vectors(queries, dimension, 7)
        self._row(
            "one vector",
            when,
            timed(lambda n: searcher.index.query("vision", vectors[n], 10), queries),
        )
        if not when:
            for phrase in self.known:
                searcher.answer(grouped(phrase))
        self._row(
            "remembered words",
            when,
            timed(lambda n: searcher.answer(grouped(self.known[n % len(self.known)])), queries),
        )
        new = list(itertools.islice(self.phrases, queries))
        assert len(new) == queries, "there are not so many phrases"
        self._row("new words", when, timed(lambda n: searcher.answer(grouped(new[n])), queries))

    def _row(self, what: str, when: str, taken_s: Sequence[float]) -> None:
        p50, p99 = (float(np.percentile(taken_s, p)) * 1000 for p in (50, 99))
        asked = None if when else TARGETS.get(what)
        name = f"{self.engine}: {what}{when}"
        idle = self._idle(f"{self.engine}: {what}") if when else None
        targets = [at_most(asked[0]), at_most(asked[1], "p99")] if asked else []
        held = when != HELD_LOADS[UNHELD]
        targets += [at_most(TARGET_LOADED, "ratio")] if idle and held else []
        self.made.append(
            {
                "name": name,
                "value": round(p50, 2),
                "unit": "ms",
                "p99": round(p99, 2),
                "points": self.points,
                "baseline": idle or (asked[0] if asked else None),
                "ratio": round(p50 / idle, 2) if idle else None,
                "targets": targets,
            }
        )
        wanted = f"{asked[0]:g} / {asked[1]:g}" if asked else ""
        beside = f"x {p50 / idle:.2f}" if idle else ""
        print(f"{name:<58}{p50:>9.1f}{p99:>9.1f}{wanted:>14}{beside:>13}", flush=True)

    def _idle(self, name: str) -> float | None:
        return next((row["value"] for row in self.made if row["name"] == name), None)

    @contextmanager
    def _served(self) -> Iterator[str]:
        words = [sys.executable, "-m", "flows.cli.main", "serve", "--port", "0"]
        for field, value in self.given.items():
            words += ["--set", f"{field}={value}"]
        words += ["--set", f"serve.cache_folder={self.folder / 'cache'}"]
        began = time.perf_counter()
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = READY.search(said)
            assert found, f"`sensedex serve` said {said!r}"
            url = found[1]
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                http.get("/").raise_for_status()
                page_s = time.perf_counter() - began
                self._second("the page after a cold start", page_s, TARGET_COLD_S)
                ask(http, next(self.phrases))
                self._second("a search after a cold start", time.perf_counter() - began)
            yield url
        finally:
            process.terminate()
            process.wait(30)

    def _second(self, what: str, seconds: float, target_s: float | None = None) -> None:
        name = f"{self.engine}: {what}"
        targets = [] if target_s is None else [at_most(target_s)]
        self.made.append(
            {"name": name, "value": round(seconds, 2), "unit": "s", "points": self.points,
             "baseline": None, "ratio": None, "targets": targets}
        )  # fmt: skip
        wanted = "" if target_s is None else f"{target_s:g}s"
        print(f"{name:<58}{seconds:>8.2f}s{'':>9}{wanted:>14}", flush=True)

    def _rates(self, url: str, when: str) -> None:
        """The answers to remembered words."""
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
            for phrase in self.known:
                ask(http, phrase)
        for clients in CLIENTS:
            taken, seconds = asked_by(url, clients, self.known, self.options.seconds)
            rate = len(taken) / seconds
            what = f"requests a second, {clients} clients"
            name, idle = f"{self.engine}: {what}{when}", None
            if when:
                idle = self._idle(f"{self.engine}: {what}")
            p50, p99 = (float(np.percentile(taken, p)) * 1000 for p in (50, 99))
            self.made.append(
                {"name": name, "value": round(rate, 1), "unit": "requests/s",
                 "p50_ms": round(p50, 1), "p99_ms": round(p99, 1), "points": self.points,
                 "baseline": idle, "ratio": round(rate / idle, 2) if idle else None}
            )  # fmt: skip
            beside = f"x {rate / idle:.2f}" if idle else ""
            print(f"{name:<58}{rate:>8.0f}/s {p50:>6.0f} / {p99:.0f} ms  {beside}", flush=True)


def timed(search: Callable[[int], object], count: int) -> list[float]:
    """Seconds of each, after some that are not counted."""
    for number in range(min(5, count)):
        search(number)
    taken = []
    for number in range(count):
        began = time.perf_counter()
        search(number)
        taken.append(time.perf_counter() - began)
    return taken


def phrases() -> Iterator[str]:
    """Each once, in no order; of words that no asset is called by."""
    every = list(itertools.product(WHAT, DOES, WHERE, WHEN))
    for number in np.random.default_rng(3).permutation(len(every)):
        yield " ".join(every[number])


def grouped(phrase: str) -> SearchRequest:
    return SearchRequest((Term(TermKind.WORDS, phrase),), limit=MOMENTS, group=True)


if __name__ == "__main__":
    main()
