"""The whole graph on this machine: the rate that it reaches beside that of its slowest stage alone.

    python -m tests.bench.pipeline [--json FILE] [--copies 12]

The demo's videos and sounds, so many copies of them, lie in a small S3 server. Each stage is first
run alone in this process, on one core as in the graph; then all of them in one Ray Data execution,
with loading beside it. The starts of Ray and of the actors, model included, are reported apart.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from flows.cli.demo_server import demo_server
from pipeline import s3
from pipeline.decode_stage import DecodeStage, Shard
from pipeline.lease import held
from pipeline.load import load_shard
from pipeline.parquet import read_segments
from pipeline.plan import read_plan
from pipeline.planning import Planned, RunOptions, plan, spaces_of
from pipeline.progress import Stage, StageProgress
from pipeline.qdrant import open_index
from pipeline.ray_session import prepare_environment, ray_session
from pipeline.receipts import RunFolder
from pipeline.rows import decoded_table
from pipeline.run import Run, embed, load, new_run_id, start
from pipeline.settings import Settings, load_settings
from pipeline.store import open_store
from pipeline.watch import Watch

MEDIA = Path(__file__).resolve().parents[2] / "infra/demo/media"
FOLDERS = ("videos", "sounds", "photos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--copies", type=int, default=12)
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", OMP_NUM_THREADS="1")
    prepare_environment()
    with tempfile.TemporaryDirectory() as folder, demo_server() as server:
        settings = load_settings(
            None,
            {
                "source.bucket": "bench",
                "source.endpoint_url": server.url,
                "source.region": "us-east-1",
                "index.path": Path(folder, "qdrant"),
                "state.location": str(Path(folder, "state")),
                "state.shard_objects": 64,
            },
        )
        _fill(settings, options.copies)
        planned = plan(settings, RunOptions(), Path(folder, "plan.parquet"), Watch())
        alone = _alone(settings, planned, Path(folder))
        together = _together(settings, planned)
    slowest = min(alone, key=lambda name: alone[name])
    rows = [
        {
            "name": f"{n} alone",
            "value": round(r, 2),
            "unit": "windows/s",
            "baseline": None,
            "ratio": None,
        }
        for n, r in alone.items()
    ]
    rows.append(
        {
            "name": "whole graph",
            "value": round(together["rate"], 2),
            "unit": "windows/s",
            "baseline": round(alone[slowest], 2),
            "ratio": round(together["rate"] / alone[slowest], 3),
            **{k: round(v, 2) for k, v in together.items()},
        }
    )
    for row in rows:
        print(f"{row['name']:<16}{row['value']:>9.1f} {row['unit']}")
    print(
        f"whole / slowest stage alone ({slowest}): {rows[-1]['ratio']:.2f}; "
        f"start of Ray {together['ray_s']:.1f} s, of the actors {together['actors_s']:.1f} s; "
        f"{together['media_s_per_s']:.1f} media-seconds a second"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _fill(settings: Settings, copies: int) -> None:
    client = s3.make_client(settings.source)
    client.create_bucket(Bucket="bench")
    files = [p for folder in FOLDERS for p in sorted((MEDIA / folder).iterdir())]
    for copy in range(copies):
        for path in files:
            if path.suffix not in {".txt", ".srt"}:
                key = f"{copy:03d}/{path.parent.name}/{path.name}"
                client.put_object(Bucket="bench", Key=key, Body=path.read_bytes())


def _alone(settings: Settings, planned: Planned, folder: Path) -> dict[str, float]:
    """Windows a second of each stage by itself, on a third of the objects."""
    import torch

    from pipeline.graph import GraphPlan

    torch.set_num_threads(1)
    rows = [row for row in read_plan(planned.path) if row.shard >= 0][::3]
    spaces = spaces_of(planned.card)
    graph = GraphPlan(settings, RunFolder(1, "alone"), spaces, {0: len(rows)})

    def ignore(_stage: Stage, _progress: StageProgress) -> None:
        """The clock here is outside."""

    decode: DecodeStage = graph.decode_stage(ignore)
    shard = Shard(0, len(rows))
    list(decode.rows(rows[0], shard))  # starts the decoder's fork server
    began = time.perf_counter()
    decoded = [item for row in rows for item in decode.rows(row, shard)]
    seconds = {"decode": time.perf_counter() - began}
    windows = sum(1 for item in decoded if item.payload is not None)

    encode = graph.encode_stage(ignore)
    size = settings.encode.batch_size
    tables = [decoded_table(decoded[i : i + size]) for i in range(0, len(decoded), size)]
    encode.table(tables[0])
    began = time.perf_counter()
    encoded = [encode.table(table) for table in tables]
    seconds["encode"] = time.perf_counter() - began

    write = graph.write_stage(ignore)
    began = time.perf_counter()
    [receipt] = [receipt for table in encoded for receipt in write.receipts(table)]
    seconds["write"] = time.perf_counter() - began

    store = open_store(settings.state.location, settings.source)
    assert receipt.data_file is not None
    index_settings = settings.index.model_copy(update={"path": folder / "alone"})
    with open_index(index_settings) as index, store.local_copy(receipt.data_file) as path:
        index.ensure_collection(spaces)
        began = time.perf_counter()
        load_shard(index, read_segments(path), receipt.outcomes, 1, "alone")
        seconds["load"] = time.perf_counter() - began
    return {name: windows / s for name, s in seconds.items()}


def _together(settings: Settings, planned: Planned) -> dict[str, float]:
    """The graph and the load as the flow runs them, from the first object to the last point."""
    watch = Watch()
    store = planned.state.store
    with held(store, settings.state, new_run_id(), after_sequence=1) as lease:
        run: Run = start(settings, planned, lease)
        watch.lap("before")
        with open_index(settings.index) as index, ray_session(settings):
            index.ensure_collection(run.spaces)
            watch.lap("ray")
            loaders = []
            for receipt in embed(run, planned, watch):
                loader = threading.Thread(target=load, args=(run, planned, index, receipt, watch))
                loader.start()
                loaders.append(loader)
            for loader in loaders:
                loader.join()
            watch.lap("work")
            points = index.count()
    media_s = watch.latest.of(Stage.LOAD).media_ms / 1000
    work = watch.seconds["work"]
    facts: dict[str, Any] = {
        "rate": points / work,
        "windows": points,
        "work_s": work,
        "ray_s": watch.seconds["ray"],
        "actors_s": watch.seconds["start the decoder and the encoder"],
        "media_s_per_s": media_s / work,
    }
    return facts


if __name__ == "__main__":
    main()
