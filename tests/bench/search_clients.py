"""What stands beside the searches that are timed: clients of `sensedex serve`, and a load."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pipeline.index.load import load_shard
from pipeline.index.vector_index import open_index
from pipeline.records import ObjectOutcome
from pipeline.settings import Settings
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import read_segments

MOMENTS = 20


def ask(http: httpx.Client, phrase: str) -> None:
    body = {"terms": [{"kind": "words", "value": phrase}], "limit": MOMENTS, "group": True}
    http.post("/v1/search", params={"look": "false"}, json=body).raise_for_status()


def asked_by(
    url: str, clients: int, known: Sequence[str], seconds: float
) -> tuple[list[float], float]:
    """Seconds of each request, and of all of it."""
    until = time.perf_counter() + seconds
    start = threading.Barrier(clients)

    def one(number: int) -> list[float]:
        taken = []
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
            start.wait()
            for phrase in itertools.cycle(known[number % len(known) :]):
                began = time.perf_counter()
                if began > until:
                    return taken
                ask(http, phrase)
                taken.append(time.perf_counter() - began)
        return taken

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = [seconds for some in pool.map(one, range(clients)) for seconds in some]
    return taken, time.perf_counter() - began


@contextmanager
def loading(
    settings: Settings,
    shards: Sequence[tuple[Path, Sequence[ObjectOutcome]]],
    points_per_s: float | None = None,
) -> Iterator[None]:
    """Another process loads these shards over and over, until the context ends; where that is said,
    so many points a second."""
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    index = settings.index.model_copy(update={"points_per_s": points_per_s})
    given = (index.model_dump_json(), list(shards), begun)
    process = spawn.Process(target=_load, args=given, daemon=True)
    process.start()
    try:
        assert begun.wait(120), "the load did not begin"
        yield
        assert process.is_alive(), "the load ended before what was measured beside it"
    finally:
        process.terminate()
        process.join()


def _load(
    settings: str, shards: Sequence[tuple[Path, Sequence[ObjectOutcome]]], begun: Any
) -> None:
    with open_index(IndexSettings.model_validate_json(settings)) as index:
        for sequence in itertools.count(int(time.time())):
            for path, outcomes in shards:
                load_shard(index, read_segments(path), outcomes, sequence, "beside")
                begun.set()
