"""Readers of a collection while it changes: by our search's rule, and by the filter alone.

A segment has the same vector in every generation of its asset, so who asks for that vector has to
find the segment once: not at all is a gap, twice a double sighting.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path

from pipeline.errors import IndexUnavailable
from pipeline.index.load import load_shard
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import SegmentRow
from pipeline.search.generations import newest_generations
from pipeline.search.live_hits import live_hits
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import read_segments, write_segments
from tests.support.invented_assets import SPACES, outcome, rows_of, unit

NEAREST = 6


@dataclass(slots=True)
class Seen:
    """What reads came to; `refused` are those that the server did not answer. `twice_by_filter` is
    what a client sees that filters `live = true` and knows no rule, `gaps_by_token` one that keeps
    the generation of the highest token and asks no anchor."""

    reads: int = 0
    refused: int = 0
    gaps: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    twice_by_filter: int = 0
    gaps_by_token: int = 0

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.reads + other.reads,
            self.refused + other.refused,
            self.gaps + other.gaps,
            self.twice + other.twice,
            self.twice_by_filter + other.twice_by_filter,
            self.gaps_by_token + other.gaps_by_token,
        )


def rows_alike(key: str, generation: str, segments: int) -> list[SegmentRow]:
    """Segments whose vectors are the same in each generation."""
    rows = rows_of(key, generation, segments)
    return [changed(row, vectors={"vision": unit(key, n)}) for n, row in enumerate(rows)]


def load_alike(
    index: VectorIndex, folder: Path, segments: Mapping[str, int], generation: str, sequence: int
) -> None:
    """Load every asset in that generation, as one shard."""
    path = folder / f"{generation}.parquet"
    if not path.exists():
        rows = [row for key, n in segments.items() for row in rows_alike(key, generation, n)]
        write_segments(path, rows, SPACES)
    outcomes = [outcome(key, generation, n) for key, n in segments.items()]
    load_shard(index, read_segments(path), outcomes, sequence, f"run-{sequence}")


@contextmanager
def reading(
    settings: IndexSettings, segments: Mapping[str, int], readers: int = 2
) -> Iterator[list[Seen]]:
    """Ask for segments at random until the context ends; what was seen is complete then."""
    end = threading.Event()
    seen = [Seen() for _ in range(readers)]
    threads = [
        threading.Thread(target=_read, args=(settings, segments, number, one, end))
        for number, one in enumerate(seen)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        end.set()
        for thread in threads:
            thread.join()


def _read(
    settings: IndexSettings,
    segments: Mapping[str, int],
    seed: int,
    seen: Seen,
    end: threading.Event,
) -> None:
    chosen = random.Random(seed)
    keys = sorted(segments)
    with open_index(settings) as index:
        while not end.is_set():
            key = chosen.choice(keys)
            number = chosen.randrange(segments[key])
            _ask(index, key, number, seen)


def _ask(index: VectorIndex, key: str, number: int, seen: Seen) -> None:
    vector = unit(key, number)
    asked: list[dict[str, list[Hit]]] = []

    def by_filter() -> dict[str, list[Hit]]:
        asked.append({"vision": index.query("vision", vector, NEAREST)})
        return asked[-1]

    try:
        found = live_hits(index, by_filter)["vision"]
    except IndexUnavailable:
        seen.refused += 1
        return
    seen.reads += 1
    seen.twice_by_filter += len(_of(asked[0]["vision"], key, number)) > 1
    by_token = newest_generations(asked[0])["vision"]
    seen.gaps_by_token += not _of(by_token, key, number)
    times = len(_of(found, key, number))
    if times == 0:
        seen.gaps.append(f"{key} {number}: {[_told(hit) for hit in asked[-1]['vision']]}")
    elif times > 1:
        seen.twice.append(f"{key} {number}")


def _of(hits: list[Hit], key: str, number: int) -> list[Hit]:
    return [h for h in hits if (h.payload["key"], h.payload["segment_index"]) == (key, number)]


def _told(hit: Hit) -> str:
    payload = hit.payload
    return f"{payload['key']} {payload['segment_index']} {payload['generation']} {hit.score:.3f}"
