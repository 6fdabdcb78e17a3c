"""Windows a second through one writer, from encoded tables to committed shards, by CPU time.

    python -m tests.bench.writer [--windows N] [--json FILE]

One vector of 1,024 numbers a window, with a payload as a run makes it. Beside it what eight GPUs
would give it, by `docs/scale.md`'s rate of one.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from encoders.modality import Modality
from pipeline import codec
from pipeline.embed.rows import encoded_schema, vector_column
from pipeline.embed.write import WriteStage
from pipeline.ids import asset_id
from pipeline.progress import Stage, StageProgress
from pipeline.records import MediaType, ObjectOutcome, Status, VectorSpace
from pipeline.state.receipts import RunFolder
from pipeline.state.store import FolderStore
from tests.support.invented_assets import rows_of

DIMENSION = 1024
SPACE = VectorSpace("vision", Modality.VISION, DIMENSION, "imagebind-huge", "f")
WINDOWS_PER_OBJECT = {"pictures": 1, "videos of an hour": 1800}
GPUS = 8
WINDOWS_PER_GPU_S = 1_000
"""An input, not a measurement: ImageBind-huge in bf16 on a large GPU, two frames a window."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    rows = []
    for name, windows in WINDOWS_PER_OBJECT.items():
        objects = max(1, given.windows // windows)
        rate = _rate(objects, windows, profile=given.profile)
        wanted = GPUS * WINDOWS_PER_GPU_S
        rows.append(
            {
                "name": f"one writer, {name}: windows per CPU-second",
                "value": round(rate),
                "unit": "windows/s",
                "baseline": wanted,
                "ratio": round(rate / wanted, 3),
                "mb_per_s": round(rate * DIMENSION * 4 / 2**20, 1),
            }
        )
        print(
            f"{rows[-1]['name']:<60}{rows[-1]['value']:>8} ({rows[-1]['mb_per_s']} MB/s of "
            f"vectors); {GPUS} GPUs would give {wanted}: {rows[-1]['ratio']:.2f}"
        )
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))


def _rate(objects: int, windows: int, *, profile: bool) -> float:
    tables = list(_tables(objects, windows))
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        store = FolderStore(Path(folder))
        write = WriteStage(lambda: store, RunFolder(1, "bench"), (SPACE,), _ignore)
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        began = time.process_time()
        receipts = [receipt for table in tables for receipt in write.receipts(table)]
        seconds = time.process_time() - began
        if profile:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(14)
    assert sum(receipt.segments for receipt in receipts) == objects * windows
    return objects * windows / seconds


def _ignore(_stage: Stage, _progress: StageProgress) -> None:
    """The clock here is outside."""


def _tables(objects: int, windows: int) -> Iterator[pa.Table]:
    """As the encoder gives them, a batch of 64 at a time; shards of at most 256 objects."""
    payload = json.dumps(rows_of("films/2019/clip 000001.mp4", "g1", 1)[0].payload)
    schema = encoded_schema([SPACE.vector_name])
    rng = np.random.default_rng(0)
    batch: list[dict[str, Any]] = []
    for number in range(objects):
        shard = number // 256
        of_shard = min(256, objects - shard * 256)
        key = f"clip {number:09d}.mp4"
        common = {
            "shard": shard, "shard_objects": of_shard, "asset_id": asset_id("media", key),
            "generation": "0123456789abcdef", "failure": None,
        }  # fmt: skip
        for index in range(windows):
            batch.append({**common, "segment_index": index, "start_ms": index * 2000,
                          "end_ms": index * 2000 + 2000, "payload": payload,
                          "outcome": None})  # fmt: skip
            if len(batch) >= 64:
                yield _table(batch, schema, rng)
                batch = []
        outcome = ObjectOutcome(
            key, common["asset_id"], "0123456789abcdef", "e", None, 10, Status.INDEXED,
            MediaType.VIDEO, windows, {"vision": windows}, windows * 2000, windows * 2000,
        )  # fmt: skip
        batch.append({**common, "segment_index": -1, "start_ms": 0, "end_ms": 0, "payload": None,
                      "outcome": codec.to_bytes(outcome).decode()})  # fmt: skip
    yield _table(batch, schema, rng)


def _table(rows: list[dict[str, Any]], schema: pa.Schema, rng: np.random.Generator) -> pa.Table:
    names = [name for name in schema.names if name != SPACE.vector_name]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
    vectors = [
        None if row["payload"] is None else rng.normal(size=DIMENSION).astype(np.float32)
        for row in rows
    ]
    columns[SPACE.vector_name] = vector_column(vectors)
    return pa.Table.from_pydict(columns, schema)


if __name__ == "__main__":
    main()
