"""Assets with invented vectors: their rows and outcomes, loaded as a run loads them, and read as a
reader reads them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders.modality import Modality
from pipeline.ids import asset_id, point_id
from pipeline.index.load import load_shard
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
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
from pipeline.search.live_hits import live_hits
from pipeline.state.segments import read_segments, write_segments

SPACES = (
    VectorSpace("vision", Modality.VISION, 8, "test", "f"),
    VectorSpace("audio", Modality.AUDIO, 8, "test", "f"),
)
NAMES = ("vision", "audio")


def unit(*seed: object) -> np.ndarray[Any, np.dtype[np.float32]]:
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
            object_tags={},
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
    *,
    batch_rows: int = 3,
) -> Any:
    """Write a shard's Parquet and load it, as a run does."""
    path = folder / f"{sequence}.parquet"
    write_segments(path, [row for a in assets for row in rows_of(*a)], SPACES)
    outcomes = [outcome(*a) for a in assets] + list(others)
    return load_shard(index, read_segments(path, batch_rows), outcomes, sequence, f"run-{sequence}")


def upsert(
    index: VectorIndex,
    folder: Path,
    rows: Sequence[SegmentRow],
    more: Mapping[str, Any],
) -> None:
    """As a run does that is killed before its flip."""
    write_segments(folder / "upserted.parquet", rows, SPACES)
    with index.upserting(more) as upserts:
        for batch in read_segments(folder / "upserted.parquet"):
            upserts.put(batch)


def live(index: VectorIndex) -> dict[str, set[tuple[str, int]]]:
    """What a reader that filters `live = true` sees: of each key, (generation, segment)."""
    return _by_key(index.query("vision", unit("any"), 1000))


def shown(index: VectorIndex) -> dict[str, set[tuple[str, int]]]:
    """What our search shows, also in the middle of a flip."""
    found = live_hits(index, lambda: {"vision": index.query("vision", unit("any"), 1000)})
    return _by_key(found["vision"])


def _by_key(hits: Sequence[Hit]) -> dict[str, set[tuple[str, int]]]:
    seen: dict[str, set[tuple[str, int]]] = {}
    for hit in hits:
        payload = hit.payload
        seen.setdefault(payload["key"], set()).add(
            (payload["generation"], payload["segment_index"])
        )
    return seen


def whole(generation: str, segments: int) -> set[tuple[str, int]]:
    return {(generation, number) for number in range(segments)}
