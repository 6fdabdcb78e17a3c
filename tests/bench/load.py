"""Loading: points a second, and client CPU a point, of our upsert beside `upload_collection` and
beside the package `ray_qdrant`, all to the same target.

    python -m tests.bench.load [--json FILE] [--points 2000]

Two targets: a sink that answers as Qdrant's REST interface and keeps nothing, since no Qdrant
server can be installed from a package (this is the client's cost alone); and the client's local
mode (all of it, with storing). `ray_qdrant` writes one unnamed vector a point and REST alone, so
every writer here writes one vector of 1024.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from qdrant_client import QdrantClient
from qdrant_client import models as q
from ray_qdrant import QdrantDatasink

from encoders.modality import Modality
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.records import VectorSpace
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import SegmentBatch

DIMENSION = 1024
SPACE = VectorSpace("vision", Modality.VISION, DIMENSION, "bench", "f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=2000)
    options = parser.parse_args()
    rows = measure(options.points)
    print(
        f"{'writer -> target':<34}{'points/s':>10}{'CPU us/point':>14}{'x upload_collection':>21}"
    )
    for row in rows:
        print(
            f"{row['name']:<34}{row['value']:>10.0f}{row['cpu_us_a_point']:>14.0f}"
            f"{row['ratio']:>16.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measure(points: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(points, DIMENSION)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = [str(uuid.UUID(int=n)) for n in range(points)]
    payloads = [
        {"key": f"films/{n}.mp4", "start_ms": n * 2000, "live": False} for n in range(points)
    ]
    batch = SegmentBatch(
        ids, ids, ["g"] * points, {"vision": (np.arange(points), matrix)}, payloads
    )
    table = pa.table(
        {
            "id": ids,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), DIMENSION),
            "key": [p["key"] for p in payloads],
            "start_ms": [p["start_ms"] for p in payloads],
        }
    )
    warnings.simplefilter("ignore")
    results: dict[str, tuple[float, float]] = {}
    with _sink() as url, tempfile.TemporaryDirectory() as folder:
        client = QdrantClient(url=url, prefer_grpc=False, check_compatibility=False)
        results["upload_collection -> sink"] = _timed(
            lambda: client.upload_collection(
                "bench", {"vision": matrix}, payloads, ids, batch_size=128, wait=True
            )
        )
        with open_index(IndexSettings(url=url, prefer_grpc=False)) as index:
            results["sensedex -> sink"] = _timed(lambda: _upsert(index, batch))
        sink = QdrantDatasink(
            "bench", url=url, id_column="id", vector_column="vector", batch_size=128
        )
        results["ray_qdrant -> sink"] = _timed(lambda: sink.write([table], None))
        local = QdrantClient(path=f"{folder}/theirs")
        local.create_collection(
            "bench", {"vision": q.VectorParams(size=DIMENSION, distance=q.Distance.COSINE)}
        )
        results["upload_collection -> local mode"] = _timed(
            lambda: local.upload_collection(
                "bench", {"vision": matrix}, payloads, ids, batch_size=128, wait=True
            )
        )
        with open_index(IndexSettings(path=Path(folder, "ours"))) as index:
            index.ensure_collection([SPACE])
            results["sensedex -> local mode"] = _timed(lambda: _upsert(index, batch))
    rows = []
    for name, (wall, cpu) in results.items():
        base = results["upload_collection -> " + name.split(" -> ")[1]]
        rows.append(
            {
                "name": name,
                "value": round(points / wall, 1),
                "unit": "points/s",
                "cpu_us_a_point": round(cpu / points * 1e6, 1),
                "baseline": round(points / base[0], 1),
                "ratio": round(base[0] / wall, 3),
            }
        )
    return rows


def _upsert(index: VectorIndex, batch: SegmentBatch) -> None:
    with index.upserting({}) as upserts:
        upserts.put(batch)


def _timed(write: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    write()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextlib.contextmanager
def _sink() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.sink_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
