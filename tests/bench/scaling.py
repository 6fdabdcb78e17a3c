"""How the driver's part of a run grows with the number of objects: by simulation, on this machine.

    python -m tests.bench.scaling [--keys 100000 1000000] [--json FILE]

Each size is a process of its own: `tests.bench.null_run`, whose listing is a paginator in memory
and whose nodes cost nothing. A request to S3 is counted, not waited for: what it would take is the
count times a latency that is named here. Figures an object are compared from size to size, and what
grows faster is said. The last column is 10^8 keys by the last size's figures: extrapolated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LARGEST = 10**8
LIST_PAGE_S, PUT_S, GET_S = 0.1, 0.03, 0.02
"""Inputs, of a bucket in the same region: a page of 1,000 keys, a small PUT and a small GET."""
MB_ALLOWED = 64.0
"""So much more memory may a larger size take: row groups, and what Python keeps of them."""
FASTER_THAN_LINEAR = 1.1
GROWING = {
    "cpu_s": "driver CPU, s",
    "plan_s": "list and plan, s",
    "state_write_s": "write the state, s",
    "plan_bytes": "plan, bytes",
    "state_bytes": "state, bytes",
    "receipt_bytes": "receipts, bytes",
    "receipts": "receipts",
    "puts": "PUTs",
    "gets": "GETs",
}


def measured(keys: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        command = [sys.executable, "-m", "tests.bench.null_run", folder, "--keys", str(keys)]
        command += ["--engine", "elsewhere"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


def with_latency(facts: Mapping[str, float]) -> dict[str, float]:
    """What S3 would make of it: pages come while the one before is read; the driver's requests of
    a load or a receipt go beside one another, and are summed all the same."""
    waited_s = facts["puts"] * PUT_S + facts["gets"] * GET_S
    listing_s = max(facts["plan_s"], facts["listing_pages"] * LIST_PAGE_S)
    return {**facts, "plan_on_s3_s": listing_s, "requests_s": waited_s}


def exponents(smaller: Mapping[str, float], larger: Mapping[str, float]) -> dict[str, float]:
    """Of each figure, the power of the number of objects with which it grew."""
    times = math.log(larger["objects"] / smaller["objects"])
    return {
        name: math.log(max(larger[name], 1e-9) / max(smaller[name], 1e-9)) / times
        for name in GROWING
    }


def extrapolated(largest: Mapping[str, float], keys: int) -> dict[str, float]:
    """By the largest size's rates a key; memory as it was there."""
    factor = keys / largest["keys"]
    kept = ("driver_mb",)
    return {name: v if name in kept else v * factor for name, v in largest.items()}


def rows_of(runs: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row for each figure of each size; `baseline` is what a linear growth would have given."""
    rows: list[dict[str, Any]] = []
    for number, facts in enumerate(runs):
        before = runs[number - 1] if number else None
        for name, what in GROWING.items():
            linear = before[name] * facts["objects"] / before["objects"] if before else None
            rows.append(
                {
                    "name": f"{facts['keys']:,.0f} keys: {what}",
                    "value": round(facts[name], 3),
                    "unit": "",
                    "baseline": None if linear is None else round(linear, 3),
                    "ratio": None if linear is None else round(facts[name] / linear, 3),
                    "per_object": facts[name] / facts["objects"],
                }
            )
        most = runs[0]["driver_mb"] + MB_ALLOWED
        rows.append(
            {
                "name": f"{facts['keys']:,.0f} keys: memory of the driver",
                "value": round(facts["driver_mb"], 1),
                "unit": "MB",
                "baseline": round(most, 1),
                "ratio": round(facts["driver_mb"] / most, 3),
            }
        )
    return rows


def show(runs: Sequence[Mapping[str, float]], largest: Mapping[str, float]) -> None:
    columns = [f"{run['keys']:,.0f}" for run in runs]
    columns += ["of one object", f"{largest['keys']:,.0f} extrap."]
    print(f"{'keys':<28}" + "".join(f"{column:>22}" for column in columns))
    last = runs[-1]
    shown = {"objects": "media objects", "driver_mb": "driver's memory, MB", **GROWING}
    shown |= {"plan_on_s3_s": "list and plan on S3, s", "requests_s": "requests to S3, s"}
    for name, what in shown.items():
        cells = [f"{run[name]:,.1f}" for run in runs]
        one = "" if name in ("objects", "driver_mb") else f"{last[name] / last['objects']:.6f}"
        cells += [one, f"{largest[name]:,.0f}"]
        print(f"{what:<28}" + "".join(f"{cell:>22}" for cell in cells))
    for smaller, larger in itertools.pairwise(runs):
        grew = exponents(smaller, larger)
        faster = [
            f"{GROWING[name]} (power {power:.2f})"
            for name, power in grew.items()
            if power > FASTER_THAN_LINEAR
        ]
        between = f"{smaller['keys']:,.0f} to {larger['keys']:,.0f} keys"
        said = "; ".join(faster) if faster else "nothing"
        print(f"faster than linear from {between}: {said}")
    more_mb = last["driver_mb"] - runs[0]["driver_mb"]
    missed = f": missed by {more_mb - MB_ALLOWED:.0f} MB" if more_mb > MB_ALLOWED else ""
    print(
        f"driver's memory: {more_mb:+.0f} MB from the smallest to the largest; {MB_ALLOWED:.0f} "
        f"allowed{missed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs = [with_latency({"keys": keys, **measured(keys)}) for keys in sorted(given.keys)]
    largest = extrapolated(runs[-1], LARGEST)
    show(runs, largest)
    if given.json is not None:
        called = {"name": f"{LARGEST:,} keys, extrapolated", "value": None, "unit": "",
                  "baseline": None, "ratio": None, **largest}  # fmt: skip
        given.json.write_text(json.dumps([*rows_of(runs), called], indent=1))


if __name__ == "__main__":
    main()
