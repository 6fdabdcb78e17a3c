"""The scan of a folder's collection, beside what the client's own engine answers."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as q

from pipeline.index.asking import LIVE, grouped_request, hits_of, hits_of_groups, request_of
from pipeline.index.conditions import Condition, parse_condition
from pipeline.index.embedded import COLLECTION_FILES
from pipeline.index.local_rows import LocalRows, arrays_of
from pipeline.index.local_scan import LocalScan
from pipeline.index.question import matching
from pipeline.index.types import Hit, WindowsAsk
from pipeline.index.vector_index import open_index
from pipeline.settings_index import IndexSettings
from tests.support.index_damage import engine
from tests.support.invented_assets import SPACES, live, load, rows_of, whole

NAME = "scanned"
POINTS = 160
WORDS = ("dog", "park", "IMG_2041", "rain")
CONDITIONS = (
    ("type=video",),
    ("type=video,image",),
    ("type!=audio",),
    ("word=dog",),
    ("word!=dog", "type=image"),
    ("word=unknown",),
    ("tag=calm,loud", "has_audio=true"),
    ("tag!=calm",),
    ("key^=photos/",),
    ("time=0:10..1:00",),
    ("time>0:10", "size<=600"),
    ("size!=100..500",),
    ("date>=2026-03-01",),
    ("date=2026-02-14",),
    ("date<2026-03-01T12:00:00+02:00", "word=park", "type=video"),
)


def unit(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = np.random.default_rng(seed).normal(size=16)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def point(n: int, edition: int = 0) -> q.PointStruct:
    """Some are off, some are anchors, some lack a field or a vector."""
    random = np.random.default_rng((n, edition))
    payload: dict[str, Any] = {
        "kind": "asset" if n % 19 == 0 else "segment",
        "live": n % 7 != 0,
        "asset_id": f"asset-{n % 23}",
        "media_type": ("video", "image", "audio")[n % 3],
        "key": f"{('photos', 'films')[n % 2]}/{n}.bin",
        "words": [word for word in WORDS if random.random() < 0.3],
        "start_ms": int(random.integers(0, 90_000)),
        "size_bytes": int(random.integers(0, 1000)),
        "has_audio": bool(n % 2),
        "last_modified": f"2026-0{1 + n % 4}-{10 + n % 9}T{n % 24:02d}:00:00Z",
    }
    if n % 5:
        payload["tags"] = [("calm", "loud", "wide")[n % 3]]
    vectors = {name: unit(1000 * edition + 2 * n + k) for k, name in enumerate(("vision", "audio"))}
    if n % 4 == 0:
        del vectors["audio"]
    return q.PointStruct(id=n, vector={k: v.tolist() for k, v in vectors.items()}, payload=payload)


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    params = q.VectorParams(size=16, distance=q.Distance.COSINE)
    client.create_collection(NAME, {"vision": params, "audio": params})
    client.upsert(NAME, [point(n) for n in range(1, POINTS)])
    client.delete(NAME, [5, 50, 140])
    client.set_payload(NAME, {"live": False}, [8, 9, 10])
    yield client
    client.close()


def asks() -> list[WindowsAsk]:
    made = []
    for number, texts in enumerate(CONDITIONS):
        where = tuple(parse_condition(text) for text in texts)
        made += [
            WindowsAsk(name, unit(9000 + number), limit, where)
            for name in ("vision", "audio")
            for limit in (3, 1000)
        ]
    among = tuple(map(str, range(1, 60, 2)))
    made.append(WindowsAsk("vision", 3 * unit(1), 10, (), fields=("key", "start_ms", "nothing")))
    made.append(replace(made[-1], where=(Condition("media_type", equals="video"),)))
    return [*made, replace(made[0], among=among)]


def by_client(client: QdrantClient, ask: WindowsAsk) -> list[Hit]:
    among = tuple(map(int, ask.among))  # ids are numbers here
    request = request_of(replace(ask, among=among), None)  # type: ignore[arg-type]
    if ask.per_asset:
        return hits_of_groups(
            client.query_points_groups(
                NAME, "asset_id", limit=ask.limit, group_size=ask.per_asset,
                **grouped_request(request),
            )
        )  # fmt: skip
    (answer,) = client.query_batch_points(NAME, [request])
    return hits_of(answer.points)


def by_scan(client: QdrantClient, some: list[WindowsAsk], scan: LocalScan) -> list[list[Hit]]:
    arrays = arrays_of(client, NAME)
    assert arrays is not None
    numbers = [
        replace(ask, among=tuple(map(int, ask.among)))  # type: ignore[arg-type]
        for ask in some
    ]
    return scan.hits(arrays, numbers)


def same(found: list[Hit], wanted: list[Hit]) -> None:
    assert [hit.point_id for hit in found] == [hit.point_id for hit in wanted]
    assert [dict(hit.payload) for hit in found] == [dict(hit.payload) for hit in wanted]
    scores = [hit.score for hit in wanted]
    assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-6)


def test_it_finds_what_the_engine_finds(client: QdrantClient) -> None:
    """All at once, of which most share a product, and each alone."""
    scan = LocalScan()
    some = asks()
    together = by_scan(client, some, scan)
    assert sum(map(len, together)) > 500
    for ask, found in zip(some, together, strict=True):
        wanted = by_client(client, ask)
        same(found, wanted)
        same(by_scan(client, [ask], scan)[0], wanted)


def test_by_asset_the_best_come_first(client: QdrantClient) -> None:
    for limit, each in ((1, 1), (5, 1), (5, 3), (100, 2), (3, 1000)):
        ask = WindowsAsk("vision", unit(77), limit, per_asset=each)
        (found,) = by_scan(client, [ask], LocalScan())
        # The client asks for a part of the collection and groups that; here is all of it.
        every = by_client(client, WindowsAsk("vision", unit(77), POINTS))
        wanted: dict[str, list[str]] = {}
        for hit in every:
            wanted.setdefault(hit.payload["asset_id"], []).append(hit.point_id)
        groups = [points[:each] for points in list(wanted.values())[:limit]]
        assert [hit.point_id for hit in found] == [one for group in groups for one in group]


def test_without_a_vector_it_finds_what_the_conditions_let_through(client: QdrantClient) -> None:
    ask = WindowsAsk("", None, 1000, (Condition("words", equals="dog"),))
    (found,) = by_scan(client, [ask], LocalScan())
    assert {hit.point_id for hit in found} == {hit.point_id for hit in by_client(client, ask)}
    (few,) = by_scan(client, [replace(ask, limit=3)], LocalScan())
    assert len(few) == 3 < len(found)


def test_what_is_written_later_is_seen(client: QdrantClient) -> None:
    scan = LocalScan()
    some = asks()
    by_scan(client, some, scan)
    arrays = arrays_of(client, NAME)
    assert arrays is not None
    before = scan.live_segments(arrays)
    changes = (
        lambda: client.upsert(NAME, [point(n, 1) for n in range(POINTS - 40, POINTS + 60)]),
        lambda: client.set_payload(NAME, {"words": ["dog"], "live": True}, [7, 14, 21]),
        lambda: client.delete(NAME, list(range(60, 90))),
        lambda: client.update_vectors(
            NAME, [q.PointVectors(id=99, vector={"vision": unit(9000).tolist()})]
        ),
        lambda: client.delete_vectors(NAME, ["audio"], list(range(90, 120))),
    )
    for change in changes:
        change()
        for ask, found in zip(some, by_scan(client, some, scan), strict=True):
            same(found, by_client(client, ask))
    live = q.Filter(
        must=[
            q.FieldCondition(key="live", match=q.MatchValue(value=True)),
            q.FieldCondition(key="kind", match=q.MatchValue(value="segment")),
        ]
    )
    assert scan.live_segments(arrays) == client.count(NAME, live).count != before


def test_values_are_counted_and_ordered_as_the_engine_does(client: QdrantClient) -> None:
    rows = LocalRows()
    arrays = arrays_of(client, NAME)
    assert arrays is not None
    for texts in ((), *CONDITIONS):
        where = tuple(parse_condition(text) for text in texts)
        live = matching(LIVE, where=where)
        rows.look(arrays)
        found = rows.let_through(arrays, where)
        assert len(found) == client.count(NAME, live).count
        for field in ("media_type", "tags", "has_audio", "words"):
            wanted = client.facet(NAME, field, facet_filter=live, limit=100).hits
            assert rows.counts(field, found) == {hit.value: hit.count for hit in wanted}
        for field in ("start_ms", "size_bytes", "last_modified"):
            order = q.OrderBy(key=field)
            points, _ = client.scroll(NAME, scroll_filter=live, limit=POINTS, order_by=order)
            mine = [arrays.payload[row][field] for row in rows.in_order_of(field, found)]
            assert mine == [(point.payload or {})[field] for point in points]


def test_what_lacks_a_value_has_no_place_in_its_order(client: QdrantClient) -> None:
    client.set_payload(NAME, {"start_ms": None}, [1, 2, 3])
    client.delete_payload(NAME, ["start_ms"], [4])
    rows = LocalRows()
    arrays = arrays_of(client, NAME)
    assert arrays is not None
    rows.look(arrays)
    live = rows.let_through(arrays)
    assert {1, 2, 3, 4} <= {arrays.ids_inv[row] for row in live}
    ordered = {arrays.ids_inv[row] for row in rows.in_order_of("start_ms", live)}
    assert ordered == {arrays.ids_inv[row] for row in live} - {1, 2, 3, 4}


def test_a_hit_s_payload_is_not_the_engine_s_own(client: QdrantClient) -> None:
    scan = LocalScan()
    ask = WindowsAsk("vision", unit(3), 1)
    (first,) = by_scan(client, [ask], scan)[0]
    first.payload["words"].append("changed")
    assert by_scan(client, [ask], scan)[0][0].payload["words"] != first.payload["words"]


def test_whether_any_has_a_field() -> None:
    client = QdrantClient(":memory:")
    client.create_collection(NAME, {"vision": q.VectorParams(size=16, distance=q.Distance.COSINE)})
    scan = LocalScan()
    arrays = arrays_of(client, NAME)
    assert arrays is not None
    assert not scan.has_values(arrays, "words")
    assert scan.live_segments(arrays) == 0
    assert scan.hits(arrays, [WindowsAsk("vision", unit(1), 5)]) == [[]]
    payload = {"kind": "segment", "live": True, "words": ["dog"]}
    client.upsert(NAME, [q.PointStruct(id=1, vector={"vision": unit(1).tolist()}, payload=payload)])
    assert scan.has_values(arrays, "words")
    assert arrays_of(client, "another") is None
    client.close()


def test_a_folder_s_vectors_come_back_as_they_were_written(tmp_path: Path) -> None:
    settings = IndexSettings(path=tmp_path / "qdrant", collection="media")
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 6)], 1)
    with open_index(settings) as index:
        arrays = arrays_of(engine(index), "media")
        assert arrays is not None
        assert {matrix.dtype for matrix in arrays.vectors.values()} == {np.dtype(np.float32)}
        wanted = rows_of("a.mp4", "g1", 6)[3]
        stored = arrays.vectors["vision"][arrays.ids[wanted.point_id]]
        assert stored == pytest.approx(wanted.vectors["vision"], abs=1e-7)
        [hit] = index.query("vision", wanted.vectors["vision"], 1)
        assert hit.point_id == wanted.point_id
        load(index, tmp_path, [("a.mp4", "g2", 3), ("b.mp4", "g1", 9)], 2)
        assert live(index) == {"a.mp4": whole("g2", 3), "b.mp4": whole("g1", 9)}


def test_a_folder_holds_arrays_and_the_plain_client_reads_them(tmp_path: Path) -> None:
    """Lists of numbers, as that client writes them, take three times as long to read."""
    settings = IndexSettings(path=tmp_path / "qdrant", collection="media")
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
    with closing(QdrantClient(path=str(settings.path))) as plain:
        [name] = (one.name for one in plain.get_collections().collections)
        found, _ = plain.scroll(name, with_vectors=True, limit=10)
        first = rows_of("a.mp4", "g1", 3)[0]
        [read] = [one for one in found if one.id == first.point_id and isinstance(one.vector, dict)]
        assert read.vector["vision"] == pytest.approx(first.vectors["vision"], abs=1e-7)
        assert {type(v) for v in stored_vectors(settings)} == {np.ndarray}
        plain.overwrite_payload(name, read.payload or {}, [read.id])  # it writes the point anew
        assert list in {type(v) for v in stored_vectors(settings)}
    with open_index(settings) as index:  # ours reads lists, too
        load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
        assert live(index) == {"a.mp4": whole("g2", 3)}


def stored_vectors(settings: IndexSettings) -> list[Any]:
    assert settings.path is not None
    [file] = settings.path.glob(COLLECTION_FILES)
    with closing(sqlite3.connect(file)) as database:
        points = [pickle.loads(row) for (row,) in database.execute("select point from points")]
    return [vector for one in points for vector in (one.vector or {}).values()]
