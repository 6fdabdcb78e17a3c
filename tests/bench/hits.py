"""Every hit that the demo's media can give, and those that `sensedex evaluate` counts, proved: the
bytes at each window's time, decoded and encoded again, against the vectors that are stored.

    python -m tests.bench.hits [--json FILE]

The media of infra/demo is indexed as a folder, by the bundled model. A figure is the smallest
cosine of a vector name beside what is asked for, 0.999, or what a tower was proved at where it
computes in int8 or bf16. It ends with an error where a vector is not what its bytes give.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.index.vector_index import open_index
from pipeline.progress import ProgressReporter
from pipeline.run.whole_run import run_index
from pipeline.search.evaluate import measure
from pipeline.search.labelled import read_queries
from pipeline.search.moments import Moment
from pipeline.search.request import SearchRequest
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings, load_settings
from pipeline.verify.hits import LEAST_COSINE, verify_hits
from tests.bench.targets import at_least

DEMO = Path(__file__).resolve().parents[2] / "infra/demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings(
            None,
            {
                "source.folder": DEMO / "media",
                "index.path": folder / "qdrant",
                "state.location": str(folder / "state"),
                "embed.engine": "loop",
            },
        )
        run_index(settings)
        rows, problems = proved(settings)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def proved(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows, and sentences for what is not so."""
    seen: list[Moment] = []
    with open_searcher(settings) as searcher:

        def search(request: SearchRequest) -> Sequence[Moment]:
            found = searcher.search(request)
            seen.extend(found)
            return found

        labelled = read_queries(DEMO / "queries.jsonl", ())
        measure(search, labelled, window_ms=settings.decode.window_ms)
    hits = {moment.point_id for moment in seen}
    with open_index(settings.index) as index:
        windows, points = index.count(), index.points()
        there = points.fetch(list(hits)).keys()
        began = time.perf_counter()
        # As many of each vector as there are windows: all of them.
        report = verify_hits(settings, points, 3 * windows, 1, ProgressReporter())
        seconds = time.perf_counter() - began
    print(
        f"{report.windows} of {windows} windows, {report.vectors} vectors in {seconds:.0f} s; "
        f"{len(hits)} of them are hits of {len(labelled)} labelled searches"
    )
    rows = []
    for name, cosine in report.smallest.items():
        rows.append({"name": f"smallest cosine, {name}", "value": cosine, "unit": "cosine",
                     "baseline": LEAST_COSINE, "ratio": round(cosine / LEAST_COSINE, 5),
                     "windows": report.windows, "targets": [at_least(LEAST_COSINE)]})  # fmt: skip
        print(f"smallest cosine, {name:<8}{cosine:>10.6f}")
    problems = [f"false: {c.key} {c.start_ms} ms {c.vector_name} {c.cosine}" for c in report.false]
    problems += [f"stale: {one.key} {one.start_ms} ms ({one.why})" for one in report.stale]
    if report.windows != windows:
        problems.append(f"{report.windows} windows were looked at, and there are {windows}")
    problems += [f"a hit that is no stored window: {point}" for point in hits - there]
    return rows, problems


if __name__ == "__main__":
    main()
