"""What a reader of the collection sees, and whether it may be so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models as q

from pipeline.errors import IndexUnavailable
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
from pipeline.search.live_hits import live_hits

# Live segments by asset and generation, and nothing else.
Live = dict[str, dict[str, int]]
# Payload and vectors of every point, by its id.
Points = dict[str, tuple[dict[str, Any], dict[str, NDArray[np.float32]]]]
# What differs from run to run of the same content.
OF_THE_RUN = {"run_id", "sequence", "indexed_at", "last_modified"}
LIVE = q.Filter(
    must=[
        q.FieldCondition(key="live", match=q.MatchValue(value=True)),
        q.FieldCondition(key="kind", match=q.MatchValue(value="segment")),
    ]
)


def live_now(index: VectorIndex) -> Live:
    """One read, by the rule of docs/metadata.md: of each asset the live segments of its newest
    generation, counted by asset and generation."""
    fields = ["asset_id", "generation", "sequence"]

    def ask() -> dict[str, list[Hit]]:
        with index._call("reading") as client:
            points, _ = client.scroll(index._name, LIVE, limit=10_000, with_payload=fields)
        return {"": [Hit(str(point.id), 0.0, point.payload or {}) for point in points]}

    seen: Live = {}
    for hit in live_hits(index, ask)[""]:
        payload = hit.payload
        generations = seen.setdefault(payload["asset_id"], {})
        generations[payload["generation"]] = generations.get(payload["generation"], 0) + 1
    return seen


@contextmanager
def reading(index: VectorIndex, log: Path, *, may_be_away: bool = False) -> Iterator[None]:
    """Read what is live all along, and write down what was seen; a line a change, a dot a read.
    With `may_be_away`, a read that a server did not answer is none."""
    done = threading.Event()

    def read() -> None:
        last = None
        with log.open("ab", buffering=0) as file:
            # A breath between two: a reader that never rests takes the run's own time.
            while not done.wait(0.004):
                try:
                    seen = json.dumps(live_now(index), sort_keys=True)
                except IndexUnavailable:
                    if may_be_away:
                        continue
                    raise
                file.write(b"." if seen == last else f"\n{seen}".encode())
                last = seen

    thread = threading.Thread(target=read, daemon=True)
    there = index.exists()
    if there:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if there:
            thread.join(10)


def everything(index: VectorIndex, *, of_the_run: bool = False) -> Points:
    """Every point with its payload and vectors, as values that can be compared; with what differs
    from run to run, or without."""
    left_out = set() if of_the_run else OF_THE_RUN
    with index._call("reading") as client:
        points, _ = client.scroll(
            index._name, None, limit=10_000, with_payload=True, with_vectors=True
        )
    return {
        str(point.id): (
            {k: v for k, v in (point.payload or {}).items() if k not in left_out},
            {k: np.asarray(v, np.float32) for k, v in dict(point.vector or {}).items()},  # type: ignore[arg-type]
        )
        for point in points
    }


def same(ours: Points, wanted: Points) -> bool:
    """The same ids and payloads, and vectors to 1e-4: a batch's neighbours move the last digits."""
    if ours.keys() != wanted.keys():
        return False
    return all(
        payload == wanted[point][0]
        and vectors.keys() == wanted[point][1].keys()
        and all(np.allclose(v, wanted[point][1][name], atol=1e-4) for name, v in vectors.items())
        for point, (payload, vectors) in ours.items()
    )


@dataclass(slots=True)
class Verdict:
    """What reads came to: `lost` an asset that was there all along and was not seen, `doubled` two
    generations of one at once, `half` fewer or more segments than it has."""

    reads: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.half)


def judge(
    reads: Iterable[Live],
    whole: Mapping[str, Mapping[str, int]],
    kept: set[str],
    *,
    bit_by_bit: bool = False,
) -> Verdict:
    """`whole` has the segments of every generation that may be seen; `kept` are assets that exist
    before and after. `bit_by_bit`: the others may come and go a segment at a time, as they do on a
    server (docs/metadata.md)."""
    verdict = Verdict()
    for read in reads:
        verdict.lost += sorted(kept - read.keys())
        for asset, generations in read.items():
            if len(generations) > 1:
                verdict.doubled.append(asset)
            for generation, count in generations.items():
                wanted = whole.get(asset, {}).get(generation, 0)
                comes_or_goes = bit_by_bit and asset not in kept and count < wanted
                if count != wanted and not comes_or_goes:
                    verdict.half.append(asset)
    return verdict


def read_log(path: Path) -> tuple[int, list[Live]]:
    """How many reads, and each that differed from the one before it. A killed reader's last line
    may be cut."""
    if not path.is_file():
        return 0, []
    count, different = 0, []
    for line in path.read_text().split("\n"):
        body = line.rstrip(".")
        count += len(line) - len(body)
        try:
            different.append(json.loads(body))
            count += 1
        except json.JSONDecodeError:
            continue
    return count, different
