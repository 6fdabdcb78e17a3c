"""What the protocol costs a run over many small objects: plan, receipts, count, flip, sweep, state.

    python -m tests.bench.protocol [--objects 10000] [--json FILE]

A run over new pictures of 160 x 120, with Ray, the default encoder and the embedded engine. The
seconds of the steps are added up though most of them pass beside the encoder's work, and set
against the whole run, from the plan to the state. The S3 server runs in this process, on the same
cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.cli.demo_server import demo_server
from pipeline import s3
from pipeline.lease import held
from pipeline.load import LoadReceipt
from pipeline.planning import RunOptions, plan
from pipeline.qdrant import open_index
from pipeline.ray_session import prepare_environment, ray_session
from pipeline.receipts import RunFolder, commit_receipt
from pipeline.records import ShardReceipt
from pipeline.run import commit, embed, load, new_run_id, start, sweep
from pipeline.settings import Settings, load_settings
from pipeline.store import FolderStore
from pipeline.watch import Watch

TARGET_SHARE = 0.03
BUCKET = "bench-protocol"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", OMP_NUM_THREADS="1")
    prepare_environment()
    with tempfile.TemporaryDirectory() as name, demo_server() as server:
        folder = Path(name)
        settings = load_settings(
            None,
            {
                "source.bucket": BUCKET,
                "source.endpoint_url": server.url,
                "source.region": "us-east-1",
                "index.path": folder / "qdrant",
                "state.location": str(folder / "state"),
            },
        )
        _fill(settings, options.objects)
        rows = measure(settings, folder, options.objects)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measure(settings: Settings, folder: Path, objects: int) -> list[dict[str, Any]]:
    """One run; its steps as rows, each with its share of the run's seconds."""
    began = time.perf_counter()
    watch = Watch()
    planned = plan(settings, RunOptions(), folder / "plan.parquet", watch)
    receipts: list[ShardReceipt] = []
    loads: list[LoadReceipt] = []
    with (
        held(planned.state.store, settings.state, new_run_id()) as lease,
        open_index(settings.index) as opened,
        ray_session(settings),
        ThreadPoolExecutor(4) as pool,
    ):
        run = start(settings, planned, lease)
        index = opened.guarded(lease.in_time)
        index.ensure_collection(run.spaces)
        waiting = []
        for receipt in embed(run, planned, watch):
            receipts.append(receipt)
            waiting.append(pool.submit(load, run, planned, index, receipt, watch))
        loads = [one.result() for one in waiting]
        watch.lap("embed and load")
        sweep(run, planned, index, watch)
        commit(run, planned, receipts)
        watch.lap("state")
    whole_s = time.perf_counter() - began
    steps = {"plan": watch.seconds["list and plan"], "receipts": _receipts_s(receipts, folder)}
    for step in ("count", "flip", "sweep"):
        steps[step] = sum(done.seconds_by_step.get(step, 0.0) for done in loads)
    steps["sweep"] += watch.seconds["sweep"]
    steps["state"] = watch.seconds["state"]
    protocol_s = sum(steps.values())
    for step, seconds in steps.items():
        print(f"{step:<12}{seconds:>8.2f} s {seconds / whole_s:>8.2%}", flush=True)
    print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in watch.seconds.items()))
    upsert_s = sum(done.seconds_by_step.get("upsert", 0.0) for done in loads)
    print(f"protocol {protocol_s:.1f} s of {whole_s:.0f} s: {protocol_s / whole_s:.1%} "
          f"(at most {TARGET_SHARE:.0%} asked); upserts {upsert_s:.1f} s; "
          f"{objects / whole_s:.0f} objects/s")  # fmt: skip
    return [
        {"name": f"protocol, {objects} objects", "value": round(protocol_s, 2), "unit": "s",
         "baseline": round(whole_s, 2), "ratio": round(protocol_s / whole_s, 4),
         "upsert_s": round(upsert_s, 2), **{k: round(v, 2) for k, v in steps.items()}}
    ]  # fmt: skip


def _receipts_s(receipts: list[ShardReceipt], folder: Path) -> float:
    """The receipts of shards and of loads are written inside other stages: written once more."""
    store = FolderStore(folder / "again")
    began = time.perf_counter()
    for receipt in receipts:
        commit_receipt(store, receipt)
        store.create(RunFolder(receipt.sequence, receipt.run_id).load(receipt.shard), b"{}")
    return time.perf_counter() - began


def _fill(settings: Settings, objects: int) -> None:
    client = s3.make_client(settings.source)
    client.create_bucket(Bucket=BUCKET)

    def put(number: int) -> None:
        random = np.random.default_rng(number)
        small = random.integers(0, 256, (6, 8, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        client.put_object(Bucket=BUCKET, Key=f"{number:06d}.jpg", Body=buffer.getvalue())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(objects)))


if __name__ == "__main__":
    main()
