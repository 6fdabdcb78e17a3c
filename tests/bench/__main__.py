"""`make bench`: every benchmark in a process of its own; a table, and JSON under build/bench/.

Each benchmark is a module here with `--json FILE`; its figures are rows of
`{"name", "value", "unit", "baseline", "ratio"}`, with `"targets"` where something is asked of
them. Ratios are taken within one run, since machines differ and are noisy; nothing is asserted. At
the end stands which targets are missed, and by how much.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.targets import summary

BENCHMARKS = tuple(
    (  # noqa: SIM905
        "start yardsticks planning sources scaling writer decode sampling fetched_bytes "
        "small_objects encode precision load server_load size payload_indexes rebuild recall "
        "search_latency hits verify pipeline protocol faults estimates event_latency"
    ).split()
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*BENCHMARKS, []], help="run only these")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    everything = {}
    failed = []
    for name in options.only or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        path = options.out / f"{name}.json"
        path.unlink(missing_ok=True)
        started = time.perf_counter()
        command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(path)]
        ended = subprocess.run(command, check=False)
        if ended.returncode != 0 or not path.is_file():
            failed.append(name)
            continue
        everything[name] = json.loads(path.read_text())
        print(f"   ({time.perf_counter() - started:.0f} s)")
    (options.out / "all.json").write_text(json.dumps(everything, indent=1))
    print(f"\n{summary(everything)}")
    print(f"\nJSON: {options.out / 'all.json'}")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
