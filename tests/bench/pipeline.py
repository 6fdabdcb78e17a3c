"""The whole graph on this machine: the rate that it reaches beside that of its slowest stage alone.

    python -m tests.bench.pipeline [--json FILE] [--copies 24] [--engine ray]

Three buckets: copies of the demo's media (320x240, small files) and pictures of 640x480, where no
stage is slow and all share the cores, and 1080p H.264 with sound, where decoding sets the pace, as
it does for most buckets. Each stage is first run alone, and its processor time counted, the S3
server's and the decoding children's with it: what all cores would give if they did nothing else.
Then all of them in one run, with loading beside it. Where stages are alike, cores that they share
cannot do what the slowest alone would: what they can at most, by the sum of what a window costs,
stands beside. The starts of Ray and of the encoder are reported apart.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.cli.demo_server import demo_server
from pipeline.embed.decode import DecodeStage
from pipeline.embed.engine import usable_cores
from pipeline.embed.ray_start import prepare_environment
from pipeline.embed.rows import Shard, decoded_table
from pipeline.garbage import look_for_garbage_seldom
from pipeline.index.load import load_shard
from pipeline.index.vector_index import open_index
from pipeline.models.spaces import spaces_of
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan, plan
from pipeline.progress import ProgressReporter, RunProgress, Stage, StageProgress
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.settings import Settings, load_settings
from pipeline.state.receipts import RunFolder
from pipeline.state.segments import read_segments
from pipeline.state.store import open_store
from tests.bench.decode import make_1080p
from tests.bench.small_objects import cpu_s_of_all, picture
from tests.bench.targets import at_least

MEDIA = Path(__file__).resolve().parents[2] / "infra/demo/media"
FOLDERS = ("videos", "sounds", "photos")
TARGET_OF_SLOWEST = 0.95
CPU_TICK_S = 0.01
"""The system counts in these: of a few windows, to write takes none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--copies", type=int, default=24, help="of the demo's media")
    parser.add_argument("--clips", type=int, default=12, help="of 1080p, 20 s each")
    parser.add_argument("--pictures", type=int, default=900, help="of 640x480")
    parser.add_argument("--engine", default="auto", choices=["auto", "loop", "ray"])
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    prepare_environment()
    look_for_garbage_seldom()  # as the command does
    rows = []
    for name, fill in (
        ("demo media", lambda settings, _: _fill_demo(settings, options.copies)),
        ("pictures", lambda settings, _: _fill_pictures(settings, options.pictures)),
        ("1080p", lambda settings, folder: _fill_1080p(settings, folder, options.clips)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, fill, Path(folder), options.engine)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measure(
    name: str, fill: Callable[[Settings, Path], None], folder: Path, engine: str
) -> list[dict[str, Any]]:
    """The rows of one bucket, printed as they come."""
    cores = usable_cores()
    (folder / "s3").mkdir()
    with demo_server(folder / "s3") as server:
        settings = load_settings(
            None,
            {
                "source.bucket": "bench",
                "source.endpoint_url": server.url,
                "source.region": "us-east-1",
                "index.path": folder / "qdrant",
                "state.location": str(folder / "state"),
                "state.shard_objects": 64,
                "embed.engine": engine,
            },
        )
        client = s3.make_client(settings.source)
        client.create_bucket(Bucket="bench")
        fill(settings, folder)
        planned = plan(settings, RunOptions(), folder / "plan.parquet", ProgressReporter())
        alone = {name: cores * rate for name, rate in _alone(settings, planned, folder).items()}
        together = _together(settings)
    slowest = min(alone, key=lambda stage: alone[stage])
    # What the decoder did ahead while the encoder was starting took none of the time counted.
    ahead = together["ahead"] if slowest == "decode" else 0
    together["rate"] = (together["windows"] - ahead) / together["work_s"]
    rows: list[dict[str, Any]] = [
        {
            "name": f"{name}: {stage} alone, on {cores} cores",
            "value": round(rate, 2),
            "unit": "windows/s",
            "baseline": None,
            "ratio": None,
        }
        for stage, rate in alone.items()
    ]
    can_do = 1 / sum(1 / rate for rate in alone.values())
    for what, baseline in (("whole graph", alone[slowest]), (f"of what {cores} cores can", can_do)):
        rows.append(
            {
                "name": f"{name}: {what}",
                "value": round(together["rate"], 2),
                "unit": "windows/s",
                "baseline": round(baseline, 2),
                "ratio": round(together["rate"] / baseline, 3),
                "targets": [at_least(TARGET_OF_SLOWEST, "ratio")],
                **{key: round(value, 2) for key, value in together.items()},
            }
        )
    for row in rows:
        print(f"{row['name']:<36}{row['value']:>9.1f} {row['unit']}", flush=True)
    print(
        f"whole / slowest stage alone ({slowest}): {rows[-2]['ratio']:.2f}, "
        f"/ what {cores} cores can do ({can_do:.1f}): {rows[-1]['ratio']:.2f}; "
        f"start of Ray {together['ray_s']:.1f} s, of the actors {together['actors_s']:.1f} s; "
        f"{together['media_s_per_s']:.1f} media-seconds a second; {together['ahead']:.0f} of "
        f"{together['windows']:.0f} windows decoded ahead\n",
        flush=True,
    )
    return rows


def _fill_demo(settings: Settings, copies: int) -> None:
    client = s3.make_client(settings.source)
    files = [p for folder in FOLDERS for p in sorted((MEDIA / folder).iterdir())]
    for copy in range(copies):
        for path in files:
            if path.suffix not in {".txt", ".srt"}:
                key = f"{copy:03d}/{path.parent.name}/{path.name}"
                client.put_object(Bucket="bench", Key=key, Body=path.read_bytes())


def _fill_pictures(settings: Settings, count: int) -> None:
    """JPEGs like photographs in what a decoder has to do, each of its own."""
    client = s3.make_client(settings.source)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            body = picture(Path(folder) / "one.jpg", 640, 480, seed=number).read_bytes()
            client.put_object(Bucket="bench", Key=f"{number:05d}.jpg", Body=body)


def _fill_1080p(settings: Settings, folder: Path, clips: int) -> None:
    """One clip of moving shapes and noise, under many keys; a byte of its own makes each differ."""
    client = s3.make_client(settings.source)
    clip = folder / "clip.mp4"
    make_1080p(clip, 20)
    for number in range(clips):
        body = clip.read_bytes() + b"\0\0\0\x0cfree%04d" % number
        client.put_object(Bucket="bench", Key=f"{number:03d}.mp4", Body=body)


def _alone(settings: Settings, planned: RunPlan, folder: Path) -> dict[str, float]:
    """Windows a second of processor time of each stage by itself, on a third of the objects."""
    import torch

    from pipeline.embed.job import EmbedJob

    all_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # In a state of its own: the whole run must not take over what is embedded here.
    own = settings.state.model_copy(update={"location": str(folder / "alone-state")})
    settings = settings.model_copy(update={"state": own})
    rows = [row for row in read_plan(planned.path) if row.shard >= 0][::3]
    spaces = spaces_of(planned.cards)
    graph = EmbedJob(settings, RunFolder(1, "alone"), spaces, {0: len(rows)})

    def ignore(_stage: Stage, _progress: StageProgress) -> None:
        """The clock here is outside."""

    decode: DecodeStage = graph.decode_stage(ignore)
    shard = Shard(0, len(rows))
    with graph.fetched(iter(rows[:1])) as fetched:
        list(decode.rows(next(fetched), shard))  # starts the decoder's fork server
    began = cpu_s_of_all()
    with graph.fetched(iter(rows)) as fetched:
        decoded = [item for each in fetched for item in decode.rows(each, shard)]
    seconds = {"decode": cpu_s_of_all() - began}
    windows = sum(1 for item in decoded if item.payload is not None)

    encode = graph.encode_stage(ignore)
    size = settings.encode.batch_size
    tables = [decoded_table(decoded[i : i + size]) for i in range(0, len(decoded), size)]
    encode.table(tables[0])
    began = cpu_s_of_all()
    encoded = [encode.table(table) for table in tables]
    seconds["encode"] = cpu_s_of_all() - began

    write = graph.write_stage(ignore)
    began = cpu_s_of_all()
    [receipt] = [receipt for table in encoded for receipt in write.receipts(table)]
    seconds["write"] = cpu_s_of_all() - began

    store = open_store(settings.state.location, settings.source)
    assert receipt.data_file is not None
    index_settings = settings.index.model_copy(update={"path": folder / "alone"})
    with open_index(index_settings) as index, store.local_copy(receipt.data_file) as path:
        index.ensure_collection(spaces)
        began = cpu_s_of_all()
        load_shard(index, read_segments(path), receipt.outcomes, 1, "alone")
        seconds["load"] = cpu_s_of_all() - began
    torch.set_num_threads(all_threads)
    return {name: windows / max(s, CPU_TICK_S) for name, s in seconds.items()}


def _together(settings: Settings) -> dict[str, float]:
    """A whole run, from the encoder's start to the last point."""
    ahead: list[int] = []

    def on_progress(progress: RunProgress) -> None:
        if progress.phase == "embedding" and not ahead:
            ahead.append(progress.of(Stage.DECODE).segments)

    report = run_index(settings, on_progress=on_progress)
    work_s = report.seconds_by_phase["embed and load"]
    return {
        "windows": report.segments,
        "ahead": ahead[0],
        "work_s": work_s,
        "ray_s": report.seconds_by_phase.get("start Ray", 0.0),
        "actors_s": report.seconds_by_phase["start the decoder and the encoder"],
        "media_s_per_s": report.media_seconds / work_s,
    }


if __name__ == "__main__":
    main()
