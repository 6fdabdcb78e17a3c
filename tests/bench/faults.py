"""What it costs a run when one GET in twenty is answered 503 or breaks off in the middle.

    python -m tests.bench.faults [--objects 240] [--json FILE]

Pictures and sounds of a minute (1.9 MB), with the default encoder, the stages one after the other
in this process: nothing hides a wait behind another stage's work, as Ray's streaming would. The
same proxy (tests/support/faulty_s3.py) stands before the bucket in both runs, and spoils nothing in
one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.settings import load_settings
from tests.bench.targets import at_most
from tests.support import media_files
from tests.support.faulty_s3 import Front, faulty_front
from tests.support.s3_server import moto_server

TARGET_RATIO = 1.3
ONE_IN = 20
BUCKET = "bench-faults"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=240)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    with moto_server() as server, tempfile.TemporaryDirectory() as folder:
        _fill(server.url, options.objects)
        _timed(server.url, Path(folder) / "first", 0)  # what is read and compiled once
        clean_s, _ = _timed(server.url, Path(folder) / "clean", 0)
        faulty_s, front = _timed(server.url, Path(folder) / "faulty", ONE_IN)
    spoilt = sum(1 for get in front.gets if get.fault)
    ratio = faulty_s / clean_s
    print(f"{options.objects} objects: {clean_s:.1f} s; with {spoilt} of {len(front.gets)} GETs "
          f"spoilt {faulty_s:.1f} s: {ratio:.2f} (at most {TARGET_RATIO} asked)")  # fmt: skip
    rows = [
        {"name": "a GET in twenty fails", "value": round(faulty_s, 2), "unit": "s",
         "baseline": round(clean_s, 2), "ratio": round(ratio, 3), "spoilt": spoilt,
         "targets": [at_most(TARGET_RATIO, "ratio")]}
    ]  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _timed(behind: str, folder: Path, every: int) -> tuple[float, Front]:
    with faulty_front(behind, every) as front:
        settings = load_settings(
            None,
            {
                "source.bucket": BUCKET,
                "source.endpoint_url": front.url,
                "source.region": "us-east-1",
                "index.path": folder / "qdrant",
                "state.location": str(folder / "state"),
            },
        )
        began = time.perf_counter()
        report = run_index(settings, RunOptions())
        seconds = time.perf_counter() - began
    assert report.objects_by_status.keys() == {"indexed"}, report.objects_by_status
    return seconds, front


def _fill(url: str, objects: int) -> None:
    client = s3.make_client(
        load_settings(None, {"source.bucket": BUCKET, "source.endpoint_url": url}).source
    )
    client.create_bucket(Bucket=BUCKET)
    for number in range(objects):
        sound = number % 12 == 0
        body = media_files.wav(number, 60.0) if sound else media_files.jpeg(number)
        name = f"{number:04d}.{'wav' if sound else 'jpg'}"
        client.put_object(Bucket=BUCKET, Key=name, Body=body)


if __name__ == "__main__":
    main()
