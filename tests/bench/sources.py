"""What planning from each source takes, of a million objects: a listing, an inventory, a manifest.

    python -m tests.bench.sources [--objects N] [--only "inventory Parquet" ...] [--json FILE]

No network: a listing's pages come from a fake paginator, an inventory's and a manifest's files from
this disk. So the figures are what this machine does; a real listing waits for a request every 1,000
keys beside it. Each source plans in a process of its own, all objects new, so that its peak memory
is its own. An inventory is planned twice: sorted the first time, and read as sorted the second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipeline.records import MediaObject
from tests.bench.planning import FakeClient, peak_mb

FILES = 10  # at least
ROWS_PER_FILE = 250_000
WHAT = ("listing", "inventory CSV", "inventory ORC", "inventory Parquet", "manifest CSV")
AGAIN = "inventory, sorted before"


class DiskClient:
    """As much of a client as an inventory asks for: buckets are folders below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        path = self._root / Bucket / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)

    def get_bytes(self, _: Any, bucket: str, key: str) -> tuple[bytes, str] | None:
        path = self._root / bucket / key
        return (path.read_bytes(), "") if path.is_file() else None

    def get_file(self, _: Any, bucket: str, key: str, path: Path) -> bool:
        shutil.copyfile(self._root / bucket / key, path)
        return True


def objects(numbers: int | range) -> Iterator[MediaObject]:
    """The same as `FakeClient` lists, as records, in their order."""
    from pipeline.s3.listing import list_pages

    client: Any = FakeClient(numbers)
    return list_pages(client, "media", "")


def write_files(root: Path, count: int, wanted: Collection[str] = WHAT) -> None:
    """Inventories of each wanted format, their rows spread over all files, and a manifest. Of one
    file at a time the rows are in memory."""
    from tests.support.inventory_files import SCHEMAS, Version, put_inventory

    client = DiskClient(root)
    files = max(FILES, count // ROWS_PER_FILE)
    for format_ in SCHEMAS:
        if f"inventory {format_}" not in wanted:
            continue
        spread = (
            [Version(obj) for obj in objects(range(number, count, files))]
            for number in range(files)
        )
        put_inventory(client, "lists", f"{format_}/", format_, spread, of="media",
                      created=datetime(2026, 1, 2, tzinfo=UTC))  # fmt: skip
    if "manifest CSV" not in wanted:
        return
    with (root / "manifest.csv").open("w") as file:
        file.write("uri,etag,size_bytes,last_modified,year:int\n")
        for number, obj in enumerate(objects(count)):
            file.write(f"{obj.uri},{obj.etag},{obj.size_bytes},{obj.last_modified},{number % 99}\n")


def plan_once(root: Path, what: str, count: int) -> dict[str, float]:
    """List, select, join with an empty state, cut, write the plan."""
    from pipeline.ids import Recipe
    from pipeline.planning.diff import PlanSummary, RetryPolicy, cut_into_shards, plan_rows
    from pipeline.planning.file import write_plan
    from pipeline.settings import SourceSettings
    from pipeline.source import inventory
    from pipeline.source.select import select
    from pipeline.source.source import open_source

    source = SourceSettings(bucket="media", region="x", inventory_folder=root / "sorted")
    name, _, format_ = what.partition(" ")
    if name == "manifest":
        source = source.model_copy(update={"manifest": str(root / "manifest.csv")})
    elif name.startswith("inventory"):
        at = f"s3://lists/{'Parquet' if what == AGAIN else format_}/2026-01-02T00-00Z/manifest.json"
        source = source.model_copy(update={"inventory": at})
    disk = DiskClient(root)
    with (
        patch.object(inventory, "get_file", disk.get_file),
        patch.object(inventory, "get_bytes", disk.get_bytes),
        patch("pipeline.source.bucket.first_contact", lambda *_: None),
    ):
        imports_mb = peak_mb()
        began, began_cpu = time.perf_counter(), time.process_time()
        listed = objects(count) if what == "listing" else open_source(source).listed()
        summary = PlanSummary()
        recipe = Recipe(("vision:abc",), "windows/1 2000", "2 frames")
        rows = plan_rows(
            select(listed, source, summary.selection), iter(()), recipe, RetryPolicy(), summary,
            bucket="media",
        )  # fmt: skip
        write_plan(root / "plan.parquet", cut_into_shards(rows, 256, 2**31), summary)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
        "peak_mb": peak_mb(),
        "imports_mb": imports_mb,
        "to_embed": float(summary.to_embed),
    }


def measure(count: int, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Each beside the first of them."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        # In a process of its own, too: a child's peak memory begins with its parent's.
        written = [sys.executable, "-m", "tests.bench.sources", "--write", folder]
        written += ["--objects", str(count), "--only", *wanted]
        subprocess.run(written, check=True)
        of_first: dict[str, float] = {}
        for what in wanted:
            command = [sys.executable, "-m", "tests.bench.sources", "--once", folder]
            command += ["--what", what, "--objects", str(count)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            assert facts["to_embed"] == count * 8 // 10, facts
            of_first = of_first or facts
            for name, unit in (("seconds", "s"), ("cpu_seconds", "s"), ("peak_mb", "MB")):
                results.append(
                    {
                        "name": f"plan {count:,} objects by {what}: {name}",
                        "value": round(facts[name], 1),
                        "unit": unit,
                        "baseline": round(of_first[name], 1),
                        "ratio": round(facts[name] / of_first[name], 3),
                    }
                )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=(*WHAT, AGAIN), default=(*WHAT, AGAIN))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write is not None:
        write_files(given.write, given.objects, given.only)
        return
    if given.once is not None:
        print(json.dumps(plan_once(given.once, given.what, given.objects)))
        return
    results = measure(given.objects, given.only)
    print(f"{'':66} {'value':>10} {given.only[0]:>17} {'ratio':>7}")
    for row in results:
        value, first = f"{row['value']} {row['unit']}", f"{row['baseline']} {row['unit']}"
        print(f"{row['name']:66} {value:>10} {first:>17} {row['ratio']:>7}")
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
