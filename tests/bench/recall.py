"""Recall@10 and queries a second of a Qdrant server, by quantization, hnsw_ef and oversampling.

    SENSEDEX_TEST_QDRANT_BIN=qdrant python -m tests.bench.recall [--points N] [--dimension D]
        [--queries Q] [--quantization KIND ...] [--json FILE]

The server is one that `tests.support.real_qdrant` finds: the program named by
SENSEDEX_TEST_QDRANT_BIN is started, with its files in TMPDIR, or SENSEDEX_TEST_QDRANT_URL names a
server that runs; in either only the collection `recall-bench` is made, and dropped again. Without
one there is nothing to measure.

The points are invented: unit vectors in wide clusters of about 1,000, which vary in 64 directions
and a little in all; of tighter ones a graph finds everything. Each collection is made, loaded,
built and asked by the code of the pipeline: one client, one search at a time, with the filter of
every search. Asked with are stored vectors; the truth is computed here, and the vector itself is
no answer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np

from encoders.modality import Modality
from pipeline.index.collections import Collections, open_collections
from pipeline.index.recall import Question, nearest_to, share_of
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
from pipeline.records import VectorSpace
from pipeline.served_recall import NEIGHBOURS
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import SegmentBatch
from tests.support.real_qdrant import QdrantNode, named_binary, named_grpc_port, named_url

NEEDS = (
    "This needs a Qdrant server: name its program by SENSEDEX_TEST_QDRANT_BIN, or a running one by "
    "SENSEDEX_TEST_QDRANT_URL."
)
KINDS = get_args(IndexSettings.model_fields["quantization"].annotation)
EFS = (None, 64, 128, 256, 512)
OVERSAMPLINGS = (1.0, 2.0, 4.0, 8.0, 16.0)
NAME = "recall-bench"
A_CLUSTER, DIRECTIONS, BATCH = 1000, 64, 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--quantization", nargs="*", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if not named_url() and named_binary() is None:
        print(NEEDS)
    else:
        with server() as settings:
            matrix = clustered(options.points, options.dimension)
            questions = questions_of(matrix, options.queries)
            for kind in options.quantization:
                rows += measure(
                    settings.model_copy(update={"quantization": kind}), matrix, questions
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


@contextmanager
def server() -> Iterator[IndexSettings]:
    """The one that is named; a program is started for as long as the block runs."""
    binary = named_binary()
    if named_url() or binary is None:
        yield IndexSettings(url=named_url(), grpc_port=named_grpc_port(), collection=NAME)
        return
    with tempfile.TemporaryDirectory(prefix="sensedex-recall-") as folder:
        node = QdrantNode(binary, Path(folder))
        node.start()
        try:
            yield IndexSettings(url=node.url, grpc_port=node.grpc_port, collection=NAME)
        finally:
            node.kill()


def clustered(points: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(0)
    directions = min(DIRECTIONS, dimension)
    centres = random.normal(size=(max(1, points // A_CLUSTER), directions))
    inside = centres[random.integers(len(centres), size=points)]
    inside = inside + 0.7 * random.normal(size=(points, directions))
    basis, _ = np.linalg.qr(random.normal(size=(dimension, directions)))
    matrix = (inside @ basis.T).astype(np.float32)
    matrix += 0.05 * random.standard_normal(size=matrix.shape, dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


def point(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def questions_of(matrix: np.ndarray[Any, np.dtype[np.float32]], queries: int) -> list[Question]:
    """Some of the vectors, each with the ten others that are nearest to it."""
    chosen = np.random.default_rng(1).permutation(len(matrix))[:queries]
    made = []
    for number in chosen.tolist():
        scores = matrix @ matrix[number]
        scores[number] = -2.0
        best = np.argsort(-scores)[:NEIGHBOURS].tolist()
        hits = [Hit(point(other), float(scores[other]), {}) for other in best]
        made.append(Question("vision", point(number), matrix[number], hits))
    return made


def measure(
    settings: IndexSettings,
    matrix: np.ndarray[Any, np.dtype[np.float32]],
    questions: Sequence[Question],
) -> list[dict[str, Any]]:
    """A row for each ef and oversampling; the latter does nothing without quantization."""
    kind = settings.quantization
    rows = []
    with open_collections(settings) as collections:
        if NAME in collections.names():  # a run of this that was stopped
            collections.drop(NAME)
        try:
            loaded, built = fill(collections, settings, matrix)
            print(
                f"\n{len(matrix):,} x {matrix.shape[1]:,}, quantization {kind}: loaded in "
                f"{loaded:.0f} s, built in {built:.0f} s; {len(questions)} queries\n"
                f"{'quantization':<14}{'ef':>9}{'oversampling':>14}{'recall@10':>11}"
                f"{'queries/s':>11}",
                flush=True,
            )
            for ef in EFS:
                for oversampling in (1.0,) if kind == "none" else OVERSAMPLINGS:
                    looking = {"hnsw_ef": ef, "oversampling": oversampling}
                    index = VectorIndex(collections.connection, settings.model_copy(update=looking))
                    row = look(index, kind, ef, oversampling, questions)
                    rows.append(row)
                    print(
                        f"{kind:<14}{ef or 'default':>9}{oversampling:>14g}{row['value']:>11.4f}"
                        f"{row['queries_a_second']:>11.0f}",
                        flush=True,
                    )
        finally:
            collections.drop(NAME)
    return rows


def look(
    index: VectorIndex,
    kind: str,
    ef: int | None,
    oversampling: float,
    questions: Sequence[Question],
) -> dict[str, Any]:
    began = time.perf_counter()
    for question in questions:
        nearest_to(index, question, exact=False)
    seconds = time.perf_counter() - began
    recall = float(np.mean([share_of(index, question) for question in questions]))
    return {
        "name": f"{kind}, ef {ef or 'default'}, oversampling {oversampling:g}",
        "value": round(recall, 4),
        "unit": "recall@10",
        "queries_a_second": round(len(questions) / seconds, 1),
        "queries": len(questions),
    }


def fill(
    collections: Collections,
    settings: IndexSettings,
    matrix: np.ndarray[Any, np.dtype[np.float32]],
) -> tuple[float, float]:
    """Seconds of the load and of what the server builds then, as a rebuild does it."""
    began = time.perf_counter()
    space = VectorSpace("vision", Modality.VISION, matrix.shape[1], "bench", "f")
    collections.create(NAME, [space], graph=False)
    index = VectorIndex(collections.connection, settings)
    for start in range(0, len(matrix), BATCH):
        some = matrix[start : start + BATCH]
        ids = [point(start + number) for number in range(len(some))]
        payloads = [{"kind": "segment", "asset_id": f"a{start}"} for _ in ids]
        vectors = {"vision": (np.arange(len(some)), some)}
        with index.upserting({}) as upserts:
            upserts.put(SegmentBatch(ids, ids, ["g"] * len(ids), vectors, payloads), ids)
    loaded = time.perf_counter()
    collections.build_graph(NAME)
    collections.wait_built(NAME, lambda _: None)
    return loaded - began, time.perf_counter() - loaded


if __name__ == "__main__":
    main()
