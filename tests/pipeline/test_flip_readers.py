"""Flips on a server: what readers see meanwhile, in how many requests they are done, and what a
writer that wakes up late can do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import models as q

from encoders.modality import Modality
from pipeline.errors import IndexUnavailable
from pipeline.ids import asset_id
from pipeline.index.types import Hit
from pipeline.index.updates import IDS_PER_REQUEST
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.search.driving import drive
from pipeline.search.live_hits import live_hits
from pipeline.search.query import Query, QueryTerm
from pipeline.search.steps import search_steps
from pipeline.settings_index import IndexSettings
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import live, load, rows_of, unit, upsert, whole

BATCH = ("POST", "/collections/media/points/batch")


class Reader:
    """Asks until told to end: by the rule, and by the filter on `live` alone."""

    def __init__(self, settings: IndexSettings, segments: dict[str, int]) -> None:
        self._settings = settings
        self._segments = segments
        self.reads = 0
        self.two_by_filter = 0
        self.wrong: list[str] = []

    def read(self, end: threading.Event) -> None:
        with open_index(self._settings) as index:
            while not end.is_set():
                asked: list[list[Hit]] = []

                def ask(asked: list[list[Hit]] = asked) -> dict[str, list[Hit]]:
                    asked.append(index.query("vision", unit("any"), 1000))
                    return {"vision": asked[-1]}

                shown = _seen(live_hits(index, ask)["vision"])
                self.reads += 1
                self.two_by_filter += any(len(g) > 1 for g in _seen(asked[0]).values())
                for key, count in self._segments.items():
                    counts = list(shown.get(key, {}).values())
                    if counts != [count]:
                        self.wrong.append(f"{key}: {counts}, not {count}")


class GroupedReader:
    """Searches by asset until told to end; each asset is wanted, with moments of one generation and
    payloads in full."""

    def __init__(self, settings: IndexSettings, assets: int) -> None:
        self._settings = settings
        self._assets = assets
        self.reads = 0
        self.wrong: list[str] = []

    def read(self, end: threading.Event) -> None:
        words = QueryTerm(Modality.TEXT, unit("any"))
        query = Query((words,), ("vision", "audio"), group=True, limit=self._assets)
        with open_index(self._settings) as index:
            while not end.is_set():
                moments = drive(search_steps(query), index.asker()).moments
                self.reads += 1
                found: dict[str, set[str]] = {}
                for moment in moments:
                    found.setdefault(moment.key, set()).add(moment.payload["generation"])
                    if "etag" not in moment.payload:
                        self.wrong.append(f"{moment.key}: half a payload")
                if len(found) != self._assets:
                    self.wrong.append(f"{len(found)} assets")
                self.wrong += [f"{key}: {of}" for key, of in found.items() if len(of) > 1]


def _seen(hits: list[Hit]) -> dict[str, dict[str, int]]:
    seen: dict[str, dict[str, int]] = {}
    for hit in hits:
        payload = hit.payload
        generations = seen.setdefault(payload["key"], {})
        generations[payload["generation"]] = generations.get(payload["generation"], 0) + 1
    return seen


def test_readers_see_one_generation_whole_all_along(
    served: Served, on_server: VectorIndex, tmp_path: Path
) -> None:
    segments = {f"{n}.mp4": 5 for n in range(8)}
    load(on_server, tmp_path, [(key, "g0", n) for key, n in segments.items()], 1)
    readers = [Reader(served.settings, segments) for _ in range(2)]
    grouped = GroupedReader(served.settings, len(segments))
    end = threading.Event()
    threads = [threading.Thread(target=r.read, args=(end,)) for r in (*readers, grouped)]
    for thread in threads:
        thread.start()
    try:
        number = 1
        while number < 8 or sum(reader.two_by_filter for reader in readers) == 0:
            number += 1
            load(on_server, tmp_path, [(k, f"g{number}", n) for k, n in segments.items()], number)
            assert number < 500, "a plain filter never saw two generations: what is shown here?"
    finally:
        end.set()
        for thread in threads:
            thread.join()
    reads = sum(reader.reads for reader in readers)
    two = sum(reader.two_by_filter for reader in readers)
    print(f"{reads} reads over {number} loads: {two} saw two generations by the filter alone")
    assert [wrong for reader in readers for wrong in reader.wrong] == []
    assert grouped.reads
    assert grouped.wrong == []


@only_stand_ins
def test_a_film_is_one_flip_and_small_assets_share_them(
    served: Served, on_server: VectorIndex, tmp_path: Path
) -> None:
    server = served.server
    film = IDS_PER_REQUEST + 100
    load(on_server, tmp_path, [("film.mp4", "g1", film)], 1, batch_rows=256)
    assert server.requests.count(BATCH) == 1
    assert on_server.count() == film
    server.requests.clear()
    assets = [("a.mp4", "g1", 3), ("film.mp4", "g2", film), ("b.mp4", "g1", 2)]
    load(on_server, tmp_path, assets, 2, batch_rows=256)
    assert server.requests.count(BATCH) == 3, "what came before it does not wait for a film"
    assert on_server.count() == on_server.count(live_only=False) == film + 5
    assert on_server.generations([asset_id("media", "film.mp4")]) == {
        asset_id("media", "film.mp4"): "g2"
    }
    server.requests.clear()
    load(on_server, tmp_path, [(f"{n}.jpg", "g1", 1) for n in range(100)], 3)
    assert server.requests.count(BATCH) == 1


@only_stand_ins
def test_a_flip_that_outlasts_its_client_is_waited_for_and_not_sent_again(
    served: Served, on_server: VectorIndex, tmp_path: Path
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 3)], 1)
    served.server.batch_takes_s = 2.5
    served.server.requests.clear()
    with open_index(served.settings.model_copy(update={"timeout_s": 1})) as impatient:
        load(impatient, tmp_path, [("a.mp4", "g2", 4)], 2)
    assert served.server.requests.count(BATCH) == 1
    assert live(on_server) == {"a.mp4": whole("g2", 4)}
    assert on_server.count(live_only=False) == 4


@only_stand_ins
@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.remove([asset_id("media", "gone.mp4")], 3),
        lambda index: index.sweep_leftovers([asset_id("media", "a.mp4")], 3),
        lambda index: index.points().delete([row.point_id for row in rows_of("gone.mp4", "g1", 2)]),
    ],
    ids=["removal", "sweep", "by ids"],
)
def test_a_deletion_that_outlasts_its_client_is_waited_for_and_looked_at(
    served: Served,
    on_server: VectorIndex,
    tmp_path: Path,
    change: Callable[[VectorIndex], None],
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 3), ("gone.mp4", "g1", 2)], 1)
    upsert(on_server, tmp_path, rows_of("a.mp4", "g2", 4), {"sequence": 2, "run_id": "killed"})
    before = on_server.count(live_only=False)
    served.server.batch_takes_s = 2.5
    served.server.requests.clear()
    with open_index(served.settings.model_copy(update={"timeout_s": 1})) as impatient:
        change(impatient)
    assert served.server.requests.count(BATCH) == 1
    assert on_server.count(live_only=False) < before
    assert live(on_server)["a.mp4"] == whole("g1", 3)


@only_stand_ins
def test_a_removal_that_timed_out_and_was_not_done_is_an_error(
    served: Served, on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 3)], 1)

    def lost(*_: object, **__: object) -> object:
        raise httpx.ReadTimeout("it never came")

    with open_index(served.settings) as index:
        monkeypatch.setattr(index._connection.client, "batch_update_points", lost)
        with pytest.raises(IndexUnavailable, match="did not finish in time, removing assets"):
            index.remove([asset_id("media", "a.mp4")], 2)
    assert live(on_server) == {"a.mp4": whole("g1", 3)}


def test_an_asset_is_live_before_the_file_is_through(
    on_server: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = IDS_PER_REQUEST + 10
    seen = []
    put = Upserts.put

    def looked_at(*given: Any) -> None:
        put(*given)
        seen.append(on_server.count())

    monkeypatch.setattr(Upserts, "put", looked_at)
    assets = [("film.mp4", "g1", film), ("last.mp4", "g1", 400)]
    load(on_server, tmp_path, assets, 1, batch_rows=200)
    assert 0 in seen
    assert film in seen, "the film was shown only with what follows it"
    assert on_server.count() == film + 400


@pytest.mark.parametrize("segments", [3, IDS_PER_REQUEST + 5])
def test_a_run_that_was_overtaken_before_its_flip_shows_nothing(
    segments: int, on_server: VectorIndex, tmp_path: Path
) -> None:
    """Of new assets, which no anchor announced: it slept after its count, and wakes up late."""
    flip = on_server.flip
    late: list[object] = []
    on_server.flip = lambda *given, **_: late.append(given)  # type: ignore[method-assign]
    load(on_server, tmp_path, [("a.mp4", "g1", segments)], 4, batch_rows=256)
    on_server.flip = flip  # type: ignore[method-assign]
    load(on_server, tmp_path, [("a.mp4", "g2", 2)], 5)
    assert on_server.count(live_only=False) == 2, "what the first has left is gone"
    for given in late:
        with suppress(IndexUnavailable):  # its points went
            flip(*given)  # type: ignore[misc]
    assert live(on_server) == {"a.mp4": whole("g2", 2)}
    assert on_server.flipped([asset_id("media", "a.mp4")]) == {
        asset_id("media", "a.mp4"): (5, "g2")
    }


def test_what_should_not_be_live_goes_in_the_next_runs_sweep(
    on_server: VectorIndex, tmp_path: Path
) -> None:
    """As after a late writer's one request that fell between the next run's look and its write."""
    load(on_server, tmp_path, [("a.mp4", "g1", 3), ("b.mp4", "g1", 2)], 4)
    with on_server._call("keeping") as client:
        old, _ = client.scroll("media", limit=100, with_payload=True, with_vectors=True)
    load(on_server, tmp_path, [("a.mp4", "g2", 2)], 5)
    with on_server._call("putting back") as client:
        segments = [p for p in old if p.payload and p.payload["kind"] == "segment"]
        again = [q.PointStruct(id=p.id, vector=p.vector, payload=p.payload) for p in segments]
        client.upsert("media", again)
    assert on_server.count() == 7, "both generations of the first, and the second as it was"
    assets = [asset_id("media", key) for key in ("a.mp4", "b.mp4")]
    on_server.sweep_leftovers(assets, 3)
    assert on_server.count() == 7, "a later run's are its own affair"
    on_server.sweep_leftovers(assets, 6)
    assert live(on_server) == {"a.mp4": whole("g2", 2), "b.mp4": whole("g1", 2)}


def test_a_point_that_lost_its_sequence_is_mended_by_the_next_load(
    on_server: VectorIndex, tmp_path: Path
) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 3)], 4)
    with on_server._call("damaging") as client:
        found, _ = client.scroll("media", limit=100, with_payload=True, with_vectors=True)
        for point in found:
            assert point.payload is not None
            del point.payload["sequence"]
        damaged = [q.PointStruct(id=p.id, vector=p.vector, payload=p.payload) for p in found]
        client.upsert("media", damaged)
    assert on_server.newest_token(0) == 0
    upsert(on_server, tmp_path, rows_of("a.mp4", "g1", 3), {"sequence": 5, "run_id": "next"})
    assert on_server.newest_token(0) == 5


def test_a_late_upsert_writes_over_nothing_that_is_newer(
    on_server: VectorIndex, tmp_path: Path
) -> None:
    """The same content, loaded by the next run: the points have the same ids."""
    load(on_server, tmp_path, [("a.mp4", "g1", 3)], 5)
    upsert(on_server, tmp_path, rows_of("a.mp4", "g1", 3), {"sequence": 4, "run_id": "late"})
    assert live(on_server) == {"a.mp4": whole("g1", 3)}
    with on_server._call("looking") as client:
        found, _ = client.scroll(
            "media",
            q.Filter(must=[q.FieldCondition(key="kind", match=q.MatchValue(value="segment"))]),
        )
    assert {point.payload["sequence"] for point in found if point.payload} == {5}
