"""Bytes a segment on disk and in memory of a real Qdrant server, beside what `sensedex size` says.

    SENSEDEX_TEST_QDRANT_BIN=PROGRAM python -m tests.bench.size [--json FILE] [--points 40000]
        [--dimension 1024]

Each kind of collection is loaded, built, and the server started anew: what it has in memory then is
what it needs, and not what a load has left behind. Files that it maps count as far as they are in
memory. Without a server there is nothing to measure; it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pipeline.index.collections import Collections
from pipeline.index.connection import open_connection
from pipeline.index.size import Collection, Quantization, memory_bytes, stored_bytes
from pipeline.index.vector_index import VectorIndex
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import SegmentBatch
from tests.bench.server_load import NAMES, NO_SERVER, spaces_of, unit_vectors
from tests.support.invented_assets import rows_of
from tests.support.real_qdrant import QdrantNode, QdrantNodes, named_binary

SETTLED_S = 12  # more than two of a server's flushes
KINDS: Mapping[str, dict[str, Any]] = {
    "float32": {},
    "float16": {"datatype": "float16"},
    "int8, vectors on disk": {"quantization": "int8", "on_disk": True},
    "turbo, vectors on disk": {"quantization": "turbo", "on_disk": True},
    "int8, all on disk": {
        "quantization": "int8",
        "on_disk": True,
        "on_disk_payload": True,
        "on_disk_payload_indexes": True,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=40_000)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    binary = named_binary()
    rows: list[dict[str, Any]] = []
    if binary is None:
        print(NO_SERVER)
    else:
        print(f"{options.points} points of 2 x {options.dimension}, bytes a segment")
        print(f"{'collection':<26}{'disk':>9}{'said':>9}{'memory':>10}{'said':>9}")
        for name in options.only:
            changed = KINDS[name]
            row = measured(binary, options.points, options.dimension, name, changed)
            rows.append(row)
            print(
                f"{name:<26}{row['disk']:>9.0f}{row['disk_said']:>9.0f}"
                f"{row['memory']:>10.0f}{row['memory_said']:>9.0f}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measured(
    binary: Path, points: int, dimension: int, name: str, changed: Mapping[str, Any]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        nodes = QdrantNodes(binary, Path(folder))
        try:
            first = nodes.nodes[0]
            settings = IndexSettings(url=first.url, grpc_port=first.grpc_port, **changed)
            empty = _resident(first)
            _load(settings, points, dimension)
            disk = _settled_bytes(first.folder / "storage")
            _end(first)
            first.start()
            _warm(settings, dimension)
            memory = _resident(first) - empty
        finally:
            nodes.close()
    said = Collection(
        points=points,
        values_per_point=2 * dimension,
        vectors_per_point=2,
        datatype=changed.get("datatype", "float32"),
        quantization=Quantization(changed.get("quantization", "none")),
        on_disk=changed.get("on_disk", False),
        on_disk_payload_indexes=changed.get("on_disk_payload_indexes", False),
    )
    return {
        "bench": "size",
        "name": name,
        "points": points,
        "dimension": dimension,
        "disk": disk / points,
        "disk_said": stored_bytes(said) / points,
        "memory": memory / points,
        "memory_said": memory_bytes(said) / points,
    }


def _load(settings: IndexSettings, points: int, dimension: int) -> None:
    """Whole, live and built."""
    rows = rows_of("films/a.mp4", "g1", points)
    payloads = [{**row.payload, "sequence": 1, "run_id": "bench", "live": True} for row in rows]
    ids = [row.point_id for row in rows]
    matrices = {name: unit_vectors(points, dimension, n) for n, name in enumerate(NAMES)}
    with open_connection(settings) as connection:
        collections = Collections(connection, settings)
        collections.create("size", spaces_of(dimension), graph=True)
        index = VectorIndex(connection, settings, "size")
        with index.upserting({"sequence": 1, "run_id": "bench"}) as upserts:
            for start in range(0, points, 256):
                part = slice(start, start + 256)
                some = ids[part]
                vectors = {n: (np.arange(len(some)), m[part]) for n, m in matrices.items()}
                batch = SegmentBatch(some, some, ["g1"] * len(some), vectors, payloads[part])
                upserts.put(batch, some)
        collections.wait_built("size", lambda _: None)


def _settled_bytes(storage: Path) -> int:
    """On disk, once that holds still: what an optimisation has replaced goes at the next flush. A
    server that is ended before would read both when it starts again."""
    same = 0
    before = -1
    while same < SETTLED_S:
        now = _bytes_of(storage)
        same = same + 1 if now == before else 0
        before = now
        time.sleep(1)
    return before


def _bytes_of(storage: Path) -> int:
    """Without the log of writes, which is of one size, however many points there are."""
    total = 0
    for folder, folders, names in os.walk(storage):
        if "wal" in folders:
            folders.remove("wal")
        for name in names:
            with suppress(FileNotFoundError):  # gone since
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
    return total


def _warm(settings: IndexSettings, dimension: int) -> None:
    """Searches as readers do, so that what they need is in memory."""
    with open_connection(settings) as connection:
        index = VectorIndex(connection, settings, "size")
        for vector in unit_vectors(100, dimension, 0):
            for name in NAMES:
                index.query(name, vector, 10)


def _end(node: QdrantNode) -> None:
    """As a service manager ends it: what it holds back is written."""
    assert node.process is not None
    node.process.terminate()
    node.process.wait(60)


def _resident(node: QdrantNode) -> int:
    assert node.process is not None
    return int(psutil.Process(node.process.pid).memory_info().rss)


if __name__ == "__main__":
    main()
