"""What of a film is fetched where key frames stand for their windows: bytes and requests for an
hour of media, and what they cost from a real S3 server on loopback.

    python -m tests.bench.fetched_bytes [--json FILE] [--minutes 6]

1080p H.264 of 5 Mbit/s, at GOP 60 and 250, with sound as ffmpeg interleaves it, and without. The
baseline of a row is the whole object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from flows.cli.demo_server import demo_server
from pipeline.byte_ranges import ByteRanges
from pipeline.media.mp4_index import read_index
from pipeline.media.needed_bytes import GAP_BYTES, needed_bytes
from pipeline.records import MediaObject
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.bucket import BucketSource
from pipeline.source.source import PartlyFetched
from tests.bench.decode import run

SECONDS = 60
REQUESTS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--minutes", type=int, default=6, help="length of the films")
    options = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="us-east-1"
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with demo_server(folder / "s3") as server:
            source = SourceSettings(bucket="films", endpoint_url=server.url)
            client = s3.make_client(source)
            client.create_bucket(Bucket=source.bucket)
            for gop in (60, 250):
                for sound in (False, True):
                    key = f"GOP {gop}{' with sound' if sound else ''}"
                    make_film(folder / "film.mp4", gop, options.minutes, sound=sound)
                    client.put_object(
                        Bucket=source.bucket, Key=key, Body=(folder / "film.mp4").read_bytes()
                    )
            hours = options.minutes / 60
            for obj in list_pages(client, source.bucket, ""):
                rows += fetches(BucketSource(source), obj, hours, folder / "fetched")
            rows += requests(BucketSource(source), obj, folder / "fetched")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def make_film(path: Path, gop: int, minutes: int, *, sound: bool) -> None:
    """A minute, again and again."""
    once = path.with_name(f"once-{gop}-{sound}.mp4")
    tone = ("-f", "lavfi", "-i", f"sine=440:d={SECONDS}", "-c:a", "aac") if sound else ()
    run(
        *("-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={SECONDS},noise=alls=8:allf=t"),
        *(*tone, "-c:v", "libx264", "-preset", "ultrafast", "-g", gop, "-sc_threshold", "0"),
        *("-bf", "3", "-b:v", "5M", "-maxrate", "5M", "-bufsize", "10M", "-pix_fmt", "yuv420p"),
        once,
    )  # fmt: skip
    run("-stream_loop", minutes - 1, "-i", once, "-c", "copy", path)


def fetches(
    source: BucketSource, obj: MediaObject, hours: float, path: Path
) -> list[dict[str, Any]]:
    """Of one film: by each sampling, what is asked for; and what that costs beside all of it."""
    rows = []
    whole_s, whole_cpu_s = timed(lambda: source.fetch(obj, path))
    rows.append(_row(f"{obj.key}: whole", obj.size_bytes / 1e6 / hours, "MB/media hour"))
    rows.append(_row(f"{obj.key}: whole, CPU", whole_cpu_s / hours, "s/media hour"))
    samplings: tuple[Literal["keyframes", "keyframes_only"], ...] = ("keyframes", "keyframes_only")
    for sampling in samplings:
        settings = DecodeSettings(sampling=sampling)
        parts = source.open_parts(obj, path)
        assert parts is not None
        index = read_index(parts.read, obj.size_bytes)
        assert index is not None
        needed = needed_bytes(index, obj.size_bytes, settings)
        what = f"{obj.key}: {sampling}"
        if needed is None:
            print(f"{what}: whole, since too much of it is needed")
            continue
        taken_s, cpu_s = timed(lambda p=parts, n=needed: p.fetch(n))  # type: ignore[misc]
        megabytes = parts.fetched.size_bytes / 1e6
        rows.append(_row(what, megabytes / hours, "MB/media hour", obj.size_bytes / 1e6 / hours))
        rows.append(_row(f"{what}, requests", len(needed) / hours, "/media hour"))
        rows.append(_row(f"{what}, CPU", cpu_s / hours, "s/media hour", whole_cpu_s / hours))
        rows.append(_row(f"{what}, time", taken_s / hours, "s/media hour", whole_s / hours))
    return rows


def requests(source: BucketSource, obj: MediaObject, path: Path) -> list[dict[str, Any]]:
    """What one request for a small part takes, and what a megabyte does; one after the other."""
    parts = source.open_parts(obj, path)
    assert parts is not None
    step = obj.size_bytes // (REQUESTS + 1)

    def one_by_one(file: PartlyFetched, size_bytes: int) -> None:
        for number in range(1, REQUESTS):
            file.fetch(ByteRanges([(number * step, number * step + size_bytes)]))

    small_s, small_cpu_s = timed(lambda: one_by_one(parts, 1000))
    return [
        _row("a request for 1 kB", small_s / REQUESTS * 1000, "ms"),
        _row("a request for 1 kB, CPU of the asker", small_cpu_s / REQUESTS * 1000, "ms"),
        _row("which is, on a line of a gigabit", small_s / REQUESTS * 125e6 / 1024, "KB"),
        _row("what is read over rather than asked for anew", GAP_BYTES / 1024, "KB"),
    ]


def timed(work: Any) -> tuple[float, float]:
    """(seconds, seconds of CPU time of this process)."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return time.perf_counter() - began, cpu_s


def _row(name: str, value: float, unit: str, baseline: float | None = None) -> dict[str, Any]:
    ratio = None if baseline is None else value / baseline
    beside = "" if ratio is None else f"  {ratio:.3f} of the whole object's"
    print(f"{name:<50}{value:>10.1f} {unit}{beside}", flush=True)
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
    }


if __name__ == "__main__":
    main()
