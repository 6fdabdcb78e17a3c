"""How long a person waits: a run with nothing to do, the first window that a search can find, and
the sentence where nobody answers.

    python -m tests.bench.start [--pictures 40] [--repeats 5] [--engines 100 400] [--json FILE]

Whole commands, from their start as a process, against a real S3 server on this machine that holds
JPEGs of 640x480. Beside the first window stands that of the weekend script of `../shared/bench`,
where it is there. `--engines` runs buckets of so many pictures by the loop and by Ray: where they
cross is where `embed.engine = "auto"` should change over.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.cli.demo_server import demo_server
from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings
from tests.bench.targets import at_most

ROOT = Path(__file__).resolve().parents[2]
WEEKEND = ROOT.parent / "shared/bench/weekend_pictures.py"
LOOK_EVERY_S = 0.02
TARGET_NOTHING_S = 2.0
TARGET_FIRST_S = 6.0
TARGET_SENTENCE_S = 10.0
NOBODY = "http://127.0.0.1:9"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engines", type=int, nargs="*", default=[100, 400])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="us-east-1"
    )
    for name in ("PREFECT_API_URL", "RAY_ADDRESS"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with demo_server(folder / "s3") as server:
            bench = Bench(server.url, folder)
            rows = bench.waits(options.pictures, options.repeats)
            rows += bench.sentences(options.repeats)
            for pictures in options.engines:
                rows += bench.engines(pictures)
    for row in rows:
        beside = f"  beside {row['baseline']:.1f}" if row["baseline"] else ""
        print(f"{row['name']:<44}{row['value']:>7.2f} {row['unit']}{beside}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


class Bench:
    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._places = 0

    def waits(self, pictures: int, repeats: int) -> list[dict[str, Any]]:
        """Medians; each first run is in a folder of its own."""
        self._fill("small", pictures)
        firsts, nothings, weekends = [], [], []
        for _ in range(repeats):
            place = self._place()
            first_s, _ = self._run("small", place)
            firsts.append(first_s)
            _, whole_s = self._run("small", place)
            nothings.append(whole_s)
            weekends += self._weekend("small")
        weekend = statistics.median(weekends) if weekends else None
        return [
            _row("a run with nothing to do", nothings, TARGET_NOTHING_S),
            _row(f"first window of {pictures} pictures", firsts, TARGET_FIRST_S, weekend),
        ]

    def sentences(self, repeats: int) -> list[dict[str, Any]]:
        """With nobody behind the endpoint, and with no credentials, where the whole chain is asked
        to its end."""
        rows = []
        bare = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        for trouble, url, env in (
            ("nobody there", NOBODY, dict(os.environ)),
            ("no credentials", self._url, {**bare, "AWS_DEFAULT_REGION": "us-east-1"}),
        ):
            for command in ("doctor", "run"):
                seconds = [self._sentence(command, url, env) for _ in range(repeats)]
                rows.append(_row(f"{trouble}: {command}", seconds, TARGET_SENTENCE_S))
        return rows

    def _sentence(self, command: str, url: str, env: dict[str, str]) -> float:
        place = self._place()
        words = [sys.executable, "-m", "flows.cli.main", command, "--bucket", "small"]
        path = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])
        began = time.perf_counter()
        ended = subprocess.run(
            [*words, "--endpoint-url", url],
            cwd=place,
            check=False,
            capture_output=True,
            env={**env, "HOME": str(place), "PYTHONPATH": path},
        )
        assert ended.returncode != 0, ended.stdout
        return time.perf_counter() - began

    def engines(self, pictures: int) -> list[dict[str, Any]]:
        bucket = f"of-{pictures}"
        self._fill(bucket, pictures)
        rows = []
        for engine in ("loop", "ray"):
            _, whole_s = self._run(bucket, self._place(), f"embed.engine={engine}")
            rows.append(_row(f"{pictures} pictures by {engine}, whole command", [whole_s]))
        return rows

    def _run(self, bucket: str, place: Path, *settings: str) -> tuple[float, float]:
        """Seconds from the start of the command to the first shard that is searchable (nan where
        there is none), and to its end."""
        command = [sys.executable, "-m", "flows.cli.main", "run", "--json", "--bucket", bucket]
        command += ["--endpoint-url", self._url]
        command += [word for setting in settings for word in ("--set", setting)]
        searchable: list[float] = []
        done = threading.Event()
        before = set(place.glob(".sensedex/state/runs/*/loads/*"))

        def look() -> None:
            while not searchable and not done.wait(LOOK_EVERY_S):
                if set(place.glob(".sensedex/state/runs/*/loads/*")) - before:
                    searchable.append(time.perf_counter() - began)

        watcher = threading.Thread(target=look)
        began = time.perf_counter()
        watcher.start()
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            command,
            cwd=place,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        whole_s = time.perf_counter() - began
        done.set()
        watcher.join()
        return (searchable[0] if searchable else float("nan")), whole_s

    def _weekend(self, bucket: str) -> list[float]:
        if not WEEKEND.is_file():
            return []
        said = subprocess.run(
            [sys.executable, str(WEEKEND), bucket, self._url],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.search(r"first ([\d.]+) s", said)
        assert found is not None, said
        return [float(found.group(1))]

    def _place(self) -> Path:
        self._places += 1
        place = self._folder / f"run-{self._places}"
        place.mkdir()
        return place

    def _fill(self, bucket: str, pictures: int) -> None:
        client = s3.make_client(SourceSettings(bucket=bucket, endpoint_url=self._url))
        client.create_bucket(Bucket=bucket)

        def put(number: int) -> None:
            client.put_object(Bucket=bucket, Key=f"{number:05d}.jpg", Body=_picture(number))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(pictures)))


def _picture(number: int) -> bytes:
    """A JPEG of 640x480 of some 60 kB, each its own."""
    random = np.random.default_rng(number)
    small = random.integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def _row(
    name: str, seconds: Sequence[float], target_s: float | None = None, beside: float | None = None
) -> dict[str, Any]:
    value = statistics.median(seconds)
    return {
        "name": name,
        "value": round(value, 2),
        "unit": "s",
        "lowest": round(min(seconds), 2),
        "highest": round(max(seconds), 2),
        "targets": [] if target_s is None else [at_most(target_s)],
        "baseline": beside,
        "ratio": round(value / beside, 2) if beside else None,
    }


if __name__ == "__main__":
    main()
