"""The index and the load, on Qdrant's local mode: what a reader sees after each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from qdrant_client import models as q

from encoders.modality import Modality
from pipeline.errors import IndexMismatch, IndexUnavailable
from pipeline.ids import asset_id, point_id
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.payload import segment_payload
from pipeline.records import (
    Failure,
    MediaInfo,
    MediaObject,
    MediaType,
    ObjectOutcome,
    Segment,
    SegmentRow,
    Status,
    VectorSpace,
)
from pipeline.settings import IndexSettings
from pipeline.state.segments import read_segments, write_segments

SPACES = (
    VectorSpace("vision", Modality.VISION, 8, "test", "f"),
    VectorSpace("audio", Modality.AUDIO, 8, "test", "f"),
)
NAMES = ("vision", "audio")


def unit(*seed: object) -> np.ndarray[Any, np.dtype[np.float32]]:
    import zlib

    vector = np.random.default_rng(zlib.crc32(repr(seed).encode())).normal(size=8)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def media(key: str, etag: str = "e") -> MediaObject:
    return MediaObject("media", key, etag, 10, "2026-01-01T00:00:00Z")


def rows_of(key: str, generation: str, segments: int) -> list[SegmentRow]:
    asset = asset_id("media", key)
    info = MediaInfo(MediaType.VIDEO, "mp4", segments * 2000, 64, 48, 25.0, "h264", "aac")
    rows = []
    for number in range(segments):
        segment = Segment(number, number * 2000, number * 2000 + 2000)
        payload = segment_payload(
            obj=media(key),
            sidecars=(),
            asset_id=asset,
            generation=generation,
            info=info,
            segment=segment,
            has_vision=True,
            has_audio=number % 2 == 0,
            text="",
            user_metadata={},
            content_type="video/mp4",
            silent=False,
            spaces=["f"],
            encoder="test",
        )
        vectors = {"vision": unit(key, generation, number)}
        if number % 2 == 0:
            vectors["audio"] = unit(key, generation, number, "sound")
        identity = point_id(asset, generation, NAMES, number)
        rows.append(SegmentRow(identity, asset, generation, segment, vectors, payload))
    return rows


def outcome(key: str, generation: str, segments: int) -> ObjectOutcome:
    return ObjectOutcome(
        key, asset_id("media", key), generation, "e", None, 10, Status.INDEXED,
        MediaType.VIDEO, segments, {"vision": segments}, segments * 2000, segments * 2000,
    )  # fmt: skip


def bad(key: str, generation: str, status: Status) -> ObjectOutcome:
    return replace(
        outcome(key, generation, 1),
        segments=0,
        segments_by_modality={},
        status=status,
        failure=Failure("decode", "x", status is Status.FAILED, "bad"),
    )


def load(
    index: VectorIndex,
    folder: Path,
    assets: Sequence[tuple[str, str, int]],
    sequence: int = 1,
    others: Sequence[ObjectOutcome] = (),
) -> Any:
    """Write a shard's Parquet and load it, as a run does."""
    path = folder / f"{sequence}.parquet"
    write_segments(path, [row for a in assets for row in rows_of(*a)], SPACES)
    outcomes = [outcome(*a) for a in assets] + list(others)
    return load_shard(index, read_segments(path, 3), outcomes, sequence, f"run-{sequence}")


def live(index: VectorIndex) -> dict[str, set[tuple[str, int]]]:
    """What a reader that filters `live = true` sees: of each key, (generation, segment)."""
    seen: dict[str, set[tuple[str, int]]] = {}
    for hit in index.query("vision", unit("any"), 1000):
        payload = hit.payload
        seen.setdefault(payload["key"], set()).add(
            (payload["generation"], payload["segment_index"])
        )
    return seen


def whole(generation: str, segments: int) -> set[tuple[str, int]]:
    return {(generation, number) for number in range(segments)}


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    return IndexSettings(path=tmp_path / "qdrant")


@pytest.fixture
def index(settings: IndexSettings) -> Iterator[VectorIndex]:
    with open_index(settings) as opened:
        opened.ensure_collection(SPACES)
        yield opened


def test_a_load_shows_assets_whole_and_may_be_repeated(index: VectorIndex, tmp_path: Path) -> None:
    assets = [("a.mp4", "g1", 5), ("b.mp4", "g1", 1)]  # two keys of equal content
    first = load(index, tmp_path, assets)
    assert (first.points, first.assets) == (6, 2)
    assert live(index) == {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 1)}
    load(index, tmp_path, assets)
    assert index.count(live_only=False) == 6
    assert live(index) == {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 1)}


def test_a_load_that_is_done_again_hides_nothing(
    index: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader looks after every single step of the second load, by the run after a killed one."""
    assets = [("a.mp4", "g1", 5), ("b.mp4", "g1", 4)]
    load(index, tmp_path, assets, 1)
    wanted = {"a.mp4": whole("g1", 5), "b.mp4": whole("g1", 4)}
    looks = 0

    def looked_at(step: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal looks
            answer = step(*arguments, **named)
            assert live(index) == wanted
            looks += 1
            return answer

        return call

    for step in ("upsert_segments", "count_points", "flip", "sweep"):
        monkeypatch.setattr(index, step, looked_at(getattr(index, step)))
    load(index, tmp_path, assets, 2)
    assert looks == 3 + 1 + 1 + 1, "three batches of three segments"


def test_a_new_generation_takes_the_place_of_the_old(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 5), ("b.mp4", "g1", 2)], 1)
    load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
    assert live(index) == {"a.mp4": whole("g2", 3), "b.mp4": whole("g1", 2)}
    assert index.count(live_only=False) == 5, "an old generation was left"


def test_before_the_flip_nothing_of_a_load_is_seen(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 2)], 1)
    path = tmp_path / "half.parquet"
    write_segments(path, rows_of("a.mp4", "g2", 4), SPACES)
    for batch in read_segments(path):
        index.upsert_segments(batch, {"sequence": 2, "run_id": "killed"})
    assert live(index) == {"a.mp4": whole("g1", 2)}
    load(index, tmp_path, [("a.mp4", "g3", 1)], 3)
    assert live(index) == {"a.mp4": whole("g3", 1)}
    assert index.count(live_only=False) == 1, "a killed run's orphans were left"


def test_rejected_goes_and_failed_stays(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 2), ("b.mp4", "g1", 2)], 1)
    turned_bad = [bad("a.mp4", "g2", Status.REJECTED), bad("b.mp4", "g2", Status.FAILED)]
    done = load(index, tmp_path, [], 2, turned_bad)
    assert done.retired == 1
    assert live(index) == {"b.mp4": whole("g1", 2)}


def test_a_late_run_changes_nothing(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g2", 2)], 5)
    load(index, tmp_path, [("a.mp4", "g1", 3)], 4)
    index.remove([asset_id("media", "a.mp4")], 4)
    assert live(index) == {"a.mp4": whole("g2", 2)}
    index.remove([asset_id("media", "a.mp4")], 6)
    assert live(index) == {}
    assert index.count(live_only=False) == 0


def test_a_file_that_lacks_segments_is_not_flipped(index: VectorIndex, tmp_path: Path) -> None:
    path = tmp_path / "short.parquet"
    write_segments(path, rows_of("a.mp4", "g1", 2), SPACES)
    with pytest.raises(IndexUnavailable, match="holds 2 segments") as raised:
        load_shard(index, read_segments(path), [outcome("a.mp4", "g1", 3)], 1, "run")
    assert raised.value.code == "shard_incomplete"
    assert live(index) == {}


def test_the_anchor_says_what_is_live(index: VectorIndex, tmp_path: Path) -> None:
    load(index, tmp_path, [("a.mp4", "g1", 4)], 3)
    anchors, _ = index._connection.client.scroll(
        index._name,
        scroll_filter=q.Filter(
            must=[q.FieldCondition(key="kind", match=q.MatchValue(value="asset"))]
        ),
        with_vectors=True,
    )
    [anchor] = anchors
    assert anchor.payload is not None
    assert anchor.payload["generation"] == "g1"
    assert (anchor.payload["segments"], anchor.payload["sequence"]) == (4, 3)
    assert "live" not in anchor.payload
    assert isinstance(anchor.vector, dict)
    mean = np.mean([unit("a.mp4", "g1", n) for n in range(4)], axis=0)
    assert np.allclose(anchor.vector["vision"], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_collection_that_does_not_fit_is_refused(index: VectorIndex) -> None:
    index.ensure_collection(SPACES)
    with pytest.raises(IndexMismatch, match=r"'vision' has 8 dimensions, and big gives 1024"):
        index.ensure_collection([replace(SPACES[0], dimension=1024, encoder="big")])
    with pytest.raises(IndexMismatch, match="'depth' has no such vector"):
        index.ensure_collection([replace(SPACES[0], vector_name="depth")])


@pytest.mark.usefixtures("index")
def test_one_opener_at_a_time(settings: IndexSettings) -> None:
    with pytest.raises(IndexUnavailable, match="open in another process"), open_index(settings):
        pass


@pytest.mark.parametrize("grpc", [True, False])
def test_a_server_out_of_reach_is_named_without_its_key(grpc: bool) -> None:
    settings = IndexSettings(
        url="http://127.0.0.1:9",
        api_key=SecretStr("s3cret"),
        prefer_grpc=grpc,
        timeout_s=2,
    )
    with pytest.raises(IndexUnavailable) as raised, open_index(settings):
        pass
    assert "http://127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)
