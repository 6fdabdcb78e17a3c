"""Loading into a real Qdrant server: points a second and client CPU a point, of our upserts beside
the client's `upload_collection`; and what a load, its flips and the graph cost the server.

    SENSEDEX_TEST_QDRANT_BIN=PROGRAM python -m tests.bench.server_load [--json FILE]
        [--points 20480] [--dimension 1024] [--work-points 60000] [--work-dimension 256]

Without a server there is nothing to measure; it says so.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from qdrant_client import QdrantClient

from pipeline.index.collections import Collections
from pipeline.index.connection import open_connection
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex
from pipeline.records import SegmentRow
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import SegmentBatch, read_segments, write_segments
from tests.bench.targets import at_least, at_most
from tests.support.invented_assets import SPACES, outcome, rows_of
from tests.support.real_qdrant import QdrantNodes, named_binary

NO_SERVER = (
    "Nothing is measured: there is no Qdrant server to load into. SENSEDEX_TEST_QDRANT_BIN names "
    "its program."
)
NAMES = ("vision", "audio")
SEGMENTS_AN_ASSET = 50
THE_DEFAULT = "sensedex, gRPC, two at once"
TARGETS = [at_least(1.4, "ratio"), at_most(100, "cpu_us_a_point")]
ASSETS_A_FILE = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=20_480)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--work-points", type=int, default=60_000)
    parser.add_argument("--work-dimension", type=int, default=256)
    options = parser.parse_args()
    binary = named_binary()
    rows: list[dict[str, Any]] = []
    if binary is None:
        print(NO_SERVER)
    else:
        rows += speeds(binary, options.points, options.dimension)
        rows += works(binary, options.work_points, options.work_dimension)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


@contextmanager
def served(binary: Path) -> Iterator[tuple[IndexSettings, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        nodes = QdrantNodes(binary, Path(folder))
        try:
            first = nodes.nodes[0]
            assert first.process is not None
            yield (
                IndexSettings(url=first.url, grpc_port=first.grpc_port),
                psutil.Process(first.process.pid),
            )
        finally:
            nodes.close()


def spaces_of(dimension: int) -> Any:
    return tuple(replace(space, dimension=dimension) for space in SPACES)


def unit_vectors(points: int, dimension: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Around some hundred centres, of unit length: a graph of noise says little."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(200, dimension))
    matrix = centres[random.integers(200, size=points)]
    matrix = (matrix + 0.7 * random.normal(size=(points, dimension))).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def speeds(binary: Path, points: int, dimension: int) -> list[dict[str, Any]]:
    """Of one collection each, with our payload and its indexes, the graph off, `wait` set."""
    print(f"{points} points of 2 x {dimension}")
    print(f"{'writer':<34}{'points/s':>10}{'CPU us/point':>14}{'server us':>11}{'ratio':>7}")
    rows = rows_of("films/a.mp4", "g1", points)
    payloads = [{**row.payload, "sequence": 1, "run_id": "bench", "live": False} for row in rows]
    ids = [row.point_id for row in rows]
    matrices = {name: unit_vectors(points, dimension, n) for n, name in enumerate(NAMES)}
    everywhere = np.arange(points)
    batch = SegmentBatch(
        ids, ids, ["g1"] * points, {n: (everywhere, m) for n, m in matrices.items()}, payloads
    )

    def theirs(settings: IndexSettings, name: str, parallel: int) -> None:
        client = QdrantClient(
            url=settings.url, grpc_port=settings.grpc_port, prefer_grpc=True, timeout=60
        )
        client.upload_collection(
            name, matrices, payloads, ids, batch_size=128, parallel=parallel, wait=True
        )
        client.close()

    def ours(settings: IndexSettings, name: str, **changed: Any) -> None:
        chosen = settings.model_copy(update=changed)
        with open_connection(chosen) as connection:
            index = VectorIndex(connection, chosen, name)
            with index.upserting({"sequence": 1, "run_id": "bench"}) as upserts:
                for start in range(0, points, 256):
                    upserts.put(_part(batch, slice(start, start + 256)))

    writers: dict[str, Callable[[IndexSettings, str], None]] = {
        "upload_collection, gRPC": lambda s, n: theirs(s, n, 1),
        "sensedex, gRPC, one at a time": lambda s, n: ours(s, n, upserts_at_once=1),
        THE_DEFAULT: lambda s, n: ours(s, n, upserts_at_once=2),
        "sensedex, gRPC, four at once": lambda s, n: ours(s, n, upserts_at_once=4),
        "sensedex, REST, two at once": lambda s, n: ours(s, n, prefer_grpc=False),
    }
    results: list[dict[str, Any]] = []
    with served(binary) as (settings, server):
        for number, (name, write) in enumerate(writers.items()):
            collection = f"speed-{number}"
            with open_connection(settings) as connection:
                Collections(connection, settings).create(
                    collection, spaces_of(dimension), graph=False
                )
            wall, cpu, theirs_cpu = _timed(lambda: write(settings, collection), server)  # noqa: B023
            speed = points / wall
            base = results[0]["value"] if results else speed
            row = {
                "name": name,
                "value": round(speed, 1),
                "unit": "points/s",
                "cpu_us_a_point": round(cpu / points * 1e6, 1),
                "server_us_a_point": round(theirs_cpu / points * 1e6, 1),
                "baseline": base,
                "ratio": round(speed / base, 3),
                "targets": TARGETS if name == THE_DEFAULT else [],
            }
            results.append(row)
            print(
                f"{name:<34}{speed:>10.0f}{row['cpu_us_a_point']:>14.0f}"
                f"{row['server_us_a_point']:>11.0f}{row['ratio']:>7.2f}",
                flush=True,
            )
            with open_connection(settings) as connection:
                Collections(connection, settings).drop(collection)
    return results


def _part(batch: SegmentBatch, some: slice) -> SegmentBatch:
    size = len(batch.point_ids[some])
    return SegmentBatch(
        batch.point_ids[some],
        batch.asset_ids[some],
        batch.generations[some],
        {name: (np.arange(size), matrix[some]) for name, (_, matrix) in batch.vectors.items()},
        batch.payloads[some],
    )


def _timed(write: Callable[[], None], server: psutil.Process) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of this process, CPU seconds of the server."""
    before = cpu_s(server)
    wall, cpu = time.perf_counter(), time.process_time()
    write()
    taken = time.perf_counter() - wall, time.process_time() - cpu
    return *taken, cpu_s(server) - before


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def works(binary: Path, points: int, dimension: int) -> list[dict[str, Any]]:
    """CPU seconds of the server until nothing is left to optimise."""
    print(f"\n{points} points of 2 x {dimension}, {SEGMENTS_AN_ASSET} segments an asset")
    print(f"{'way':<52}{'server CPU s':>13}{'written after s':>16}{'green after s':>15}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            generation: shard_files(Path(folder), generation, points, dimension)
            for generation in ("g1", "g2")
        }
        for name, unread, graph in (
            ("each asset flipped as it passes", False, True),
            ("live at once", True, True),
            ("live at once, graph off, built at the end", True, False),
            ("flipped, graph off, built at the end", False, False),
        ):
            with served(binary) as (settings, server), open_connection(settings) as connection:
                collections = Collections(connection, settings)
                collections.create("work", spaces_of(dimension), graph=graph)
                index = VectorIndex(connection, settings, "work")
                for what, generation, number in (("", "g1", 1), (", all replaced", "g2", 2)):
                    before, began = cpu_s(server), time.perf_counter()
                    for path, outcomes in files[generation]:
                        rows = read_segments(path)
                        load_shard(index, rows, outcomes, number, "bench", unread=unread)
                    written = time.perf_counter() - began
                    collections.build_graph("work")
                    collections.wait_built("work", lambda *_: None)
                    row = {
                        "name": name + what,
                        "value": round(cpu_s(server) - before, 1),
                        "unit": "CPU s",
                        "written_s": round(written, 1),
                        "green_s": round(time.perf_counter() - began, 1),
                    }
                    results.append(row)
                    print(
                        f"{row['name']:<52}{row['value']:>13.0f}{row['written_s']:>16.0f}"
                        f"{row['green_s']:>15.0f}",
                        flush=True,
                    )
                    if unread:
                        break  # nobody replaces what is live in a collection that nobody reads
    return results


def shard_files(
    folder: Path, generation: str, points: int, dimension: int
) -> list[tuple[Path, Sequence[Any]]]:
    files = []
    assets = points // SEGMENTS_AN_ASSET
    for first in range(0, assets, ASSETS_A_FILE):
        keys = [f"{n}.mp4" for n in range(first, min(assets, first + ASSETS_A_FILE))]
        path = folder / f"{generation}-{first}.parquet"
        write_segments(path, list(_rows(keys, generation, dimension, first)), spaces_of(dimension))
        files.append((path, [outcome(key, generation, SEGMENTS_AN_ASSET) for key in keys]))
    return files


def _rows(keys: Sequence[str], generation: str, dimension: int, seed: int) -> Iterator[SegmentRow]:
    matrices = [unit_vectors(SEGMENTS_AN_ASSET * len(keys), dimension, seed + n) for n in range(2)]
    number = 0
    for key in keys:
        for row in rows_of(key, generation, SEGMENTS_AN_ASSET):
            vectors: Mapping[str, Any] = {
                name: matrix[number] for name, matrix in zip(NAMES, matrices, strict=True)
            }
            number += 1
            yield replace(row, vectors=vectors)


if __name__ == "__main__":
    main()
