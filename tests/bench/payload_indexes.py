"""What payload indexes cost a real Qdrant server: CPU of the server for each point written, with
all of them, none, those that runs need, and one each; and, but for the last, for each point until
its graph is built.

    SENSEDEX_TEST_QDRANT_BIN=PROGRAM python -m tests.bench.payload_indexes [--json FILE]
        [--points 20000] [--dimension 256] [--repeats 3]

Points are written live at once and not flipped: without indexes each flip would read every payload.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from qdrant_client import models as q

from pipeline.index.collections import Collections
from pipeline.index.connection import open_connection
from pipeline.index.new_collection import INDEXED_FIELDS
from pipeline.index.vector_index import VectorIndex
from pipeline.payload_schema import FIELDS
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import read_segments
from tests.bench.server_load import NO_SERVER, cpu_s, served, shard_files, spaces_of
from tests.support.real_qdrant import named_binary

NAME = "payload-indexes"
LEAST_KB = 1_000
ALL = frozenset(INDEXED_FIELDS)
# What runs, verify and rebuild filter by, and every search: `live` and `kind`.
OF_CALLS = frozenset({"kind", "live", "asset_id", "generation", "sequence"})
WITHOUT_LINKS = frozenset(f.name for f in FIELDS if f.index and not f.graph_links)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="names of rows, with their graphs")
    options = parser.parse_args()
    binary = named_binary()
    rows: list[dict[str, Any]] = []
    if binary is None:
        print(NO_SERVER)
    else:
        rows += costs(binary, options.points, options.dimension, options.repeats, options.only)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def costs(
    binary: Path, points: int, dimension: int, repeats: int, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    choices = {
        "none": frozenset[str](),
        "all, as a new collection has them": ALL,
        "all, each with links in the graph": ALL,
        "those that our own calls filter by": OF_CALLS,
        **{f"{name} alone": frozenset({name}) for name in INDEXED_FIELDS},
    }
    if only:
        choices = {name: choices[name] for name in only}
    print(f"{points} points of 2 x {dimension}, medians of {repeats}; us of the server a point")
    print(f"{'payload indexes':<40}{'written':>10}{'built':>10}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, served(binary) as (settings, server):
        paths = [path for path, _ in shard_files(Path(folder), "g1", points, dimension)]
        for name, fields in choices.items():
            plain = WITHOUT_LINKS if "each with links" in name else frozenset[str]()
            graph = bool(only) or not name.endswith(" alone")
            seen = [
                _once(settings, server, paths, dimension, fields, plain, graph=graph)
                for _ in range(repeats)
            ]
            written, built = (median(one) / points * 1e6 for one in zip(*seen, strict=True))
            rows.append(
                {
                    "name": name,
                    "value": round(written, 1),
                    "unit": "server us/point",
                    "built_us_a_point": round(built, 1) if graph else None,
                    "baseline": rows[0]["value"] if rows else round(written, 1),
                    "ratio": round(written / rows[0]["value"], 3) if rows else 1.0,
                }
            )
            print(f"{name:<40}{written:>10.0f}{f'{built:.0f}' if graph else '':>10}", flush=True)
    return rows


def _once(
    settings: IndexSettings,
    server: psutil.Process,
    paths: list[Path],
    dimension: int,
    fields: Collection[str],
    with_links: Collection[str],
    *,
    graph: bool,
) -> tuple[float, float]:
    """CPU seconds of the server for writing, and from then until the graph is built, if it is."""
    # Strict mode refuses to look at a condition without an index: that of each upsert.
    settings = settings.model_copy(update={"strict_mode": False})
    with open_connection(settings) as connection:
        collections = Collections(connection, settings)
        collections.create(NAME, spaces_of(dimension), graph=False)
        for field, kind in INDEXED_FIELDS.items():
            if field not in fields or field in with_links:
                connection.client.delete_payload_index(NAME, field)
            if field in with_links:
                connection.client.create_payload_index(NAME, field, kind)
        try:
            before = cpu_s(server)
            index = VectorIndex(connection, settings, NAME)
            with index.upserting({"sequence": 1, "run_id": "bench"}) as upserts:
                for path in paths:
                    for batch in read_segments(path):
                        upserts.put(batch, batch.point_ids)
            written = cpu_s(server)
            if graph:
                connection.client.update_collection(
                    NAME,
                    # So that few points get a graph, too, and links for what an index narrows.
                    optimizers_config=q.OptimizersConfigDiff(indexing_threshold=LEAST_KB),
                    hnsw_config=q.HnswConfigDiff(m=settings.hnsw_m, full_scan_threshold=LEAST_KB),
                )
                collections.wait_built(NAME, lambda *_: None)
            return written - before, cpu_s(server) - written
        finally:
            collections.drop(NAME)


if __name__ == "__main__":
    main()
