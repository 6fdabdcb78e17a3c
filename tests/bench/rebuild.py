"""Rebuilding: what readers of the alias see meanwhile, and segments a second from Parquet.

    python -m tests.bench.rebuild [--json FILE] [--reads 10000] [--assets 128]

Twice: in the client's local mode, and over HTTP, the reader a client of its own, against
tests/support/qdrant_server.py, a stand-in for a server (local mode behind REST: no graph, no
quantization). The reader asks all along rebuilds, rollbacks and deletions; an answer that is an
error, empty, half, or of two collections at once is bad, and there must be none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.index.collections import open_collections
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.alias import drop, old_collections, roll_back
from pipeline.rebuild.prepare import RebuildOptions
from pipeline.rebuild.rebuild import rebuild
from pipeline.settings import Settings, load_settings
from tests.support.alias_reader import ASSETS, reads_of
from tests.support.invented_assets import SPACES
from tests.support.qdrant_server import qdrant_server
from tests.support.small_runs import run_of

OPTIONS = RebuildOptions(queries=5)
SEGMENTS_AN_ASSET = 16
WIDE = tuple(replace(space, dimension=1024) for space in SPACES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reads", type=int, default=10_000)
    parser.add_argument("--assets", type=int, default=128)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with qdrant_server() as server:
        there = {"index.url": server.url, "index.prefer_grpc": False}
        for where, more in (("local mode", {}), ("stand-in server", there)):
            reads, bad, flips = read_meanwhile(more, options.reads)
            speed = copy_speed(more, options.assets)
            rows += [
                {"name": f"reads of the alias, {where}", "value": reads, "unit": "reads"},
                {"name": f"  of them bad, over {flips} flips", "value": bad, "unit": "reads"},
                {"name": f"copied, {where}", "value": speed, "unit": "segments/s"},
            ]
    for row in rows:
        print(f"{row['name']:<44}{row['value']:>10,.0f} {row['unit']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def read_meanwhile(more: dict[str, Any], least: int) -> tuple[int, int, int]:
    """(reads, bad ones, flips of the alias)."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        settings = settings_in(made, more)
        other = settings_in(made, {**more, "index.payload_exclude": ("fps",)})
        collections = stack.enter_context(open_collections(other.index))
        # Local mode has one opener; elsewhere the reader is a client of its own.
        own = stack.enter_context(open_collections(settings.index)) if more else collections
        index = VectorIndex(own.connection, settings.index)
        index.ensure_collection(SPACES)
        run_of(settings, index, ASSETS)
        seen: list[int] = []
        bad: list[str] = []
        end = threading.Event()
        reader = threading.Thread(target=reads_of, args=(index, seen, bad, end))
        reader.start()
        flips = 0
        try:
            while len(seen) < least:
                rebuild(other, OPTIONS, collections)
                roll_back(other, collections)
                flips += 2
                drop(other, collections, old_collections(other, collections))
        finally:
            end.set()
            reader.join()
        drop_all(collections)
        return len(seen), len(bad), flips


def copy_speed(more: dict[str, Any], assets: int) -> float:
    """Segments of 1024 values, one or two vectors each, a second."""
    with tempfile.TemporaryDirectory() as made:
        settings = settings_in(made, more)
        many = {f"{number:05d}.mp4": ("g1", SEGMENTS_AN_ASSET) for number in range(assets)}
        run_of(settings, None, many, spaces=WIDE)
        with open_collections(settings.index) as collections:
            done = rebuild(settings, replace(OPTIONS, queries=1), collections)
            drop_all(collections)
        return done.segments / done.seconds


def drop_all(collections: Any) -> None:
    for name in collections.names():
        collections.drop(name)


def settings_in(folder: str, more: dict[str, Any]) -> Settings:
    fixed = {"index.path": Path(folder, "qdrant"), "state.location": str(Path(folder, "state"))}
    return load_settings(None, {**fixed, **more})


if __name__ == "__main__":
    main()
