"""Writers by shard: each row has one of them, and one that comes again changes nothing. What a lost
writer costs: `tests/pipeline/test_graph.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from encoders.modality import Modality
from pipeline import codec
from pipeline.embed.rows import encoded_schema, vector_column
from pipeline.embed.write import WriteStage
from pipeline.embed.writer_pool import by_writer
from pipeline.ids import asset_id
from pipeline.progress import Stage, StageProgress
from pipeline.records import MediaType, ObjectOutcome, Status, VectorSpace
from pipeline.state.receipts import RunFolder
from pipeline.state.segments import read_segments
from pipeline.state.store import FolderStore

SPACE = VectorSpace("vision", Modality.VISION, 4, "test", "f")


def encoded(shard: int, key: str, windows: list[int], ends_with: int | None = None) -> pa.Table:
    """Windows of an object of a shard of two; `ends_with` so many, its last row."""
    asset = asset_id("media", key)
    rows: list[dict[str, Any]] = [
        {"segment_index": n, "start_ms": n * 2000, "end_ms": n * 2000 + 2000, "payload": "{}"}
        for n in windows
    ]
    if ends_with is not None:
        done = ObjectOutcome(
            key, asset, "g", "e", None, 1, Status.INDEXED, MediaType.VIDEO, ends_with,
            {"vision": ends_with},
        )  # fmt: skip
        rows.append({"segment_index": -1, "outcome": codec.to_bytes(done).decode()})
    common = {"shard": shard, "shard_objects": 2, "asset_id": asset, "generation": "g"}
    schema = encoded_schema([SPACE.vector_name])
    columns: dict[str, Any] = {
        name: [({"start_ms": 0, "end_ms": 0} | common | row).get(name) for row in rows]
        for name in schema.names
    }
    vectors = [None if n < 0 else np.full(4, n, np.float32) for n in
               (row["segment_index"] for row in rows)]  # fmt: skip
    columns["vision"] = vector_column(vectors)
    return pa.Table.from_pydict(columns, schema)


def writer(folder: Path) -> WriteStage:
    def ignore(_stage: Stage, _progress: StageProgress) -> None:
        """Nobody looks."""

    return WriteStage(lambda: FolderStore(folder), RunFolder(1, "run"), (SPACE,), ignore)


def test_each_row_has_one_writer_and_a_shard_the_same() -> None:
    table = pa.concat_tables(encoded(shard, f"{shard}.mp4", [0, 1], 2) for shard in (0, 3, 4, 5))
    parts = by_writer(table, 3)
    assert [sorted(set(part.column("shard").to_pylist())) for part in parts] == [[0, 3], [4], [5]]
    assert sum(part.num_rows for part in parts) == table.num_rows


def test_a_window_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    """A decoder is started again, and gives its objects in another order: the first rows that come
    are not those that are missing."""
    write = writer(tmp_path)
    assert list(write.receipts(encoded(0, "a.mp4", [0, 1]))) == []
    assert list(write.receipts(encoded(0, "b.mp4", [0], 1))) == []
    assert list(write.receipts(encoded(0, "a.mp4", [0, 1], 3))) == [], "the third is missing"
    [receipt] = write.receipts(encoded(0, "a.mp4", [1, 2]))
    assert receipt.segments == 4
    assert {o.key: o.segments for o in receipt.outcomes} == {"a.mp4": 3, "b.mp4": 1}
    assert receipt.data_file is not None
    [batch] = read_segments(tmp_path / receipt.data_file)
    assert len(set(batch.point_ids)) == len(batch.point_ids) == 4
    assert batch.vectors["vision"][1][:, 0].tolist() == [0, 1, 2, 0]


def test_a_shard_that_is_sent_again_is_not_committed_again(tmp_path: Path) -> None:
    write = writer(tmp_path)
    table = pa.concat_tables([encoded(0, "a.mp4", [0], 1), encoded(0, "b.mp4", [0], 1)])
    assert len(list(write.receipts(table))) == 1
    assert list(write.receipts(table)) == []
    files = [path.name for path in tmp_path.rglob("*.parquet")]
    assert len(files) == 1
