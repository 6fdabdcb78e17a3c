"""Beside the weekend scripts of `../shared/bench`: same buckets, model and machine, one run each.

    python -m tests.bench.yardsticks [--json FILE] [--media FOLDER] [--pictures 3000]

`--media` keeps the made media for the next time. Rates leave the starts out: the imports, and the
model's load; "whole" is the command from its start to its end. Without `../shared` there is no row.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flows.cli.demo_server import demo_server
from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings
from tests.bench.targets import at_least

ROOT = Path(__file__).resolve().parents[2]
YARDSTICKS = ROOT.parent / "shared/bench"
TARGETS = {"pictures": 1.2, "videos": 1.35, "videos by key frames": 2.5}
_MEDIA_S = 320.0  # 16 videos of 20 s
_SCRIPTS = {"pictures": "weekend_pictures.py", "videos": "weekend_video.py"}
_SAID = {
    "pictures": r"([\d.]+) a second; .* all ([\d.]+) s",
    "videos": r"([\d.]+) x .* all ([\d.]+) s",
}
_UNITS = {"pictures": "pictures/s", "videos": "x real time"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--media", type=Path, help="a folder to make the media in, and keep them")
    parser.add_argument("--pictures", type=int, default=3000)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if not YARDSTICKS.is_dir():
        print("The weekend scripts are not beside this checkout: nothing to compare with.")
    else:
        rows = compared(options.media, options.pictures)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def compared(kept: Path | None, pictures: int) -> list[dict[str, Any]]:
    """Two rows a bucket and way: the rate, and the whole command."""
    os.environ.update(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="us-east-1"
    )
    for name in ("PREFECT_API_URL", "RAY_ADDRESS"):
        os.environ.pop(name, None)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = kept or folder / "media"
        if not (media / "videos/15.mp4").is_file():
            print("making the media, some minutes", flush=True)
            command = [sys.executable, str(YARDSTICKS / "make_media.py"), str(media)]
            subprocess.run(command, check=True)
        (folder / "s3").mkdir()
        with demo_server(folder / "s3") as server:
            for bucket in _SCRIPTS:
                files = sorted((media / bucket).iterdir())
                _fill(server.url, bucket, files[:pictures] if bucket == "pictures" else files)
                rows += _row(bucket, server.url, folder)
    return rows


def _row(bucket: str, url: str, folder: Path) -> list[dict[str, Any]]:
    """Of the videos two more, for which key frames stand for their windows; the script has no such
    thing, and is the same one."""
    ours = {bucket: _ours(bucket, url, folder)}
    if bucket == "videos":
        ours["videos by key frames"] = _ours(bucket, url, folder, "decode.sampling=keyframes")
    said = subprocess.run(
        [sys.executable, str(YARDSTICKS / _SCRIPTS[bucket]), bucket, url],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(_SAID[bucket], said)
    assert found is not None, said
    their_rate, their_whole_s = float(found[1]), float(found[2])
    rows = []
    for name, (rate, whole_s) in ours.items():
        rows += [
            _figure(name, rate, _UNITS[bucket], their_rate, rate / their_rate, TARGETS[name]),
            _figure(f"{name}, whole", whole_s, "s", their_whole_s, their_whole_s / whole_s, None),
        ]
    for row in rows:
        target = "".join(f", {one['is']} {one['bound']}" for one in row["targets"])
        print(
            f"{row['name']:<28}{row['value']:>9.1f} {row['unit']:<12} weekend script "
            f"{row['baseline']:>7.1f}: {row['ratio']:.2f} times as fast{target}",
            flush=True,
        )
    return rows


def _ours(bucket: str, url: str, folder: Path, *fields: str) -> tuple[float, float]:
    """With default settings but for `fields`: the rate without the start of the encoder, and the
    whole command."""
    place = Path(tempfile.mkdtemp(prefix=f"run-{bucket}-", dir=folder))
    command = [sys.executable, "-m", "flows.cli.main", "run", "--json", "--bucket", bucket]
    command += [word for field in fields for word in ("--set", field)]
    began = time.perf_counter()
    ended = subprocess.run(
        [*command, "--endpoint-url", url],
        cwd=place,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    whole_s = time.perf_counter() - began
    report = json.loads(ended.stdout)
    phases: dict[str, float] = report["seconds_by_phase"]
    started_s = sum(s for name, s in phases.items() if name.startswith("start"))
    amount = _MEDIA_S if bucket == "videos" else float(report["objects_by_status"]["indexed"])
    return amount / (report["wall_seconds"] - started_s), whole_s


def _fill(url: str, bucket: str, files: list[Path]) -> None:
    client = s3.make_client(SourceSettings(bucket=bucket, endpoint_url=url))
    client.create_bucket(Bucket=bucket)

    def put(path: Path) -> None:
        client.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, files))


def _figure(
    name: str, value: float, unit: str, baseline: float, ratio: float, target: float | None
) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": round(baseline, 2),
        "ratio": round(ratio, 3),
        "targets": [] if target is None else [at_least(target, "ratio")],
    }


if __name__ == "__main__":
    main()
