"""A reader of the alias that never stops asking, while rebuilds put other collections behind it."""

from __future__ import annotations

import threading

from pipeline.index.vector_index import VectorIndex
from pipeline.search.generations import newest_generations
from tests.support.invented_assets import unit, whole

ASSETS = {f"{n:02d}.mp4": ("g1", 1 + n % 3) for n in range(10)}


def expected(assets: dict[str, tuple[str, int]]) -> dict[str, set[tuple[str, int]]]:
    return {key: whole(*what) for key, what in assets.items()}


def reads_of(index: VectorIndex, seen: list[int], errors: list[str], end: threading.Event) -> None:
    """Ask until told to end. An answer is whole, of one collection, and each asset of one
    generation; anything else is written down."""
    wanted = expected(ASSETS)
    number = 0
    while not end.is_set():
        number += 1
        try:
            found = index.query("vision", unit("reader", number % 50), 1000)
            hits = newest_generations({"vision": found})["vision"]
        except Exception as error:  # noqa: BLE001  whatever it is, a reader must not see it
            errors.append(repr(error))
            continue
        answer: dict[str, set[tuple[str, int]]] = {}
        for hit in hits:
            seg = (hit.payload["generation"], hit.payload["segment_index"])
            answer.setdefault(hit.payload["key"], set()).add(seg)
        kinds = {"fps" in hit.payload for hit in hits}
        if answer != wanted or len(kinds) != 1:
            errors.append(f"{sum(map(len, answer.values()))} segments, kinds {kinds}")
        seen.append(kinds.pop() if kinds else -1)
