"""Listing and planning a million objects: seconds and peak memory, all new and all unchanged.

    python -m tests.bench.planning [--objects N] [--json FILE]

The paginator is a fake that hands out pages as boto3 does; all that follows is the real path.
Each run is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.targets import at_most

TARGET_SECONDS = 60.0
TARGET_MB = 500.0


class FakeClient:
    """As much of a client as a listing asks for: 8 of 10 objects are media, 1 a sidecar. It lists
    so many, or those of the given numbers."""

    def __init__(self, objects: int | range) -> None:
        self._numbers = range(objects) if isinstance(objects, int) else objects

    def get_paginator(self, _: str) -> FakeClient:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        when = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
        page: list[dict[str, Any]] = []
        for number in self._numbers:
            last = number % 10
            suffix = "srt" if last == 1 else "json" if last == 9 else "mp4"
            key = f"films/{number // 1000:06d}/clip {number - (last == 1):09d}.{suffix}"
            etag = f'"{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()}"'
            page.append(
                {
                    "Key": key,
                    "LastModified": when,
                    "ETag": etag,
                    "Size": 3_000_000 + number % 1_000_000,  # shards are cut by objects
                    "StorageClass": "STANDARD",
                }
            )
            if len(page) == 1000:
                yield {"Contents": page}
                page = []
        yield {"Contents": page}


def plan_once(folder: Path, objects: int, *, commit: bool) -> dict[str, float]:
    """List, select, join with the state in `folder`, cut, write the plan. With `commit`, the state
    is then written as if all had been indexed (not counted in the figures)."""
    from pipeline.ids import Recipe
    from pipeline.planning.diff import PlanSummary, RetryPolicy, cut_into_shards, plan_rows
    from pipeline.planning.file import write_plan
    from pipeline.s3.listing import list_pages
    from pipeline.settings import SourceSettings
    from pipeline.source.select import select
    from pipeline.state.objects import read_state
    from pipeline.state.store import FolderStore

    imports_mb = peak_mb()
    recipe = Recipe(("vision:abc", "audio:abc", "text:abc"), "windows/1 2000", "2 frames")
    source = SourceSettings(bucket="media")
    client: Any = FakeClient(objects)
    started = time.perf_counter()
    summary = PlanSummary()
    state = read_state(FolderStore(folder / "state"))
    listed = list_pages(client, "media", "")
    rows = plan_rows(
        select(listed, source, summary.selection),
        state.rows(),
        recipe,
        RetryPolicy(),
        summary,
        bucket="media",
    )
    write_plan(folder / "plan.parquet", cut_into_shards(rows, 256, 2**31), summary)
    seconds = time.perf_counter() - started
    facts = {
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "imports_mb": imports_mb,
        "to_embed": float(summary.to_embed),
        "unchanged": float(summary.objects["unchanged"]),
    }
    if commit:
        commit_all(folder, recipe.digest())
    return facts


def commit_all(folder: Path, digest: str) -> None:
    from pipeline.planning.file import read_plan
    from pipeline.records import MediaType, Status
    from pipeline.state.commit import commit_state
    from pipeline.state.objects import StateRow, read_state
    from pipeline.state.store import FolderStore

    store = FolderStore(folder / "state")
    rows = (
        StateRow(
            row.object.key,
            row.asset_id,
            row.generation,
            row.object.etag,
            None,
            row.object.size_bytes,
            Status.INDEXED,
            MediaType.VIDEO,
            5,
            10_000,
            tuple(sidecar.key for sidecar in row.sidecars),
            1,
            "runs/00000001-a/shards/000000-b.parquet",
            digest,
            bucket="media",
        )
        for row in read_plan(folder / "plan.parquet")
    )
    commit_state(
        store,
        read_state(store),
        rows,
        sequence=1,
        run_id="a",
        bucket="media",
        prefix="",
        recipe=digest,
        encoder="none",
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(folder: Path, objects: int, *, commit: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.planning", "--once", str(folder)]
    command += ["--objects", str(objects)] + (["--commit"] if commit else [])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


def measure(objects: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    # The targets are for 10^6 objects; of fewer, a part of the time and the same memory.
    seconds_target = TARGET_SECONDS * objects / 1_000_000
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        for name, commit in (("all new", True), ("all unchanged", False)):
            facts = in_a_process(Path(folder), objects, commit=commit)
            expected = facts["to_embed"] if commit else facts["unchanged"]
            assert expected == objects * 8 // 10, facts
            for what, unit, target in (
                ("seconds", "s", seconds_target),
                ("peak_mb", "MB", TARGET_MB),
            ):
                results.append(
                    {
                        "name": f"list and plan {objects:,} objects, {name}: {what}",
                        "value": round(facts[what], 1),
                        "unit": unit,
                        "baseline": round(target, 1),
                        "ratio": round(facts[what] / target, 3),
                        "targets": [at_most(round(target, 1))],
                    }
                )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--commit", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        print(json.dumps(plan_once(given.once, given.objects, commit=given.commit)))
        return
    results = measure(given.objects)
    print(f"{'':62} {'value':>10} {'target':>10} {'ratio':>7}")
    for row in results:
        value, target = f"{row['value']} {row['unit']}", f"{row['baseline']} {row['unit']}"
        print(f"{row['name']:62} {value:>10} {target:>10} {row['ratio']:>7}")
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
