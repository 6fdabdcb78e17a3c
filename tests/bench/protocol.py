"""What the protocol costs a run over many small objects: plan, receipts, count, flip, state.

    python -m tests.bench.protocol [--objects 10000] [--json FILE]

A run over new pictures of 160 x 120, with Ray, the default encoder and the embedded engine. What
the protocol makes the run longer by: the seconds of the steps during which nothing else goes on
(plan, last sweep, state), and of those beside the encoder's work what they take of the cores. The
sum of all steps' seconds stands beside it. The whole is from the plan to the state. The S3 server
is a process beside it, on the same cores, with its listing ready: its own work is no part of this.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from pipeline.embed.ray_start import prepare_environment
from pipeline.index.vector_index import VectorIndex
from pipeline.records import ShardReceipt
from pipeline.run.whole_run import run_index
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import Settings, load_settings
from pipeline.state.receipts import RUNS, RunFolder, commit_receipt, open_receipts
from pipeline.state.store import FolderStore, Store, open_store
from tests.bench.targets import at_most
from tests.support.s3_server import S3Server

TARGET_SHARE = 0.03
BUCKET = "bench-protocol"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--engine", default="ray", choices=["loop", "ray"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", OMP_NUM_THREADS="1")
    prepare_environment()
    with tempfile.TemporaryDirectory() as name, s3_process() as url:
        folder = Path(name)
        settings = load_settings(
            None,
            {
                "source.bucket": BUCKET,
                "source.endpoint_url": url,
                "source.region": "us-east-1",
                "index.path": folder / "qdrant",
                "state.location": str(folder / "state"),
                "embed.engine": options.engine,
            },
        )
        _fill(settings, options.objects)
        client = s3.make_client(settings.source)
        assert sum(1 for _ in list_pages(client, BUCKET, "")) == options.objects
        rows = measure(settings, folder, options.objects)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measure(settings: Settings, folder: Path, objects: int) -> list[dict[str, Any]]:
    """One run; its steps as rows, each with its share of the run's seconds."""
    began = time.perf_counter()
    beside = Beside()
    with beside.timed():
        report = run_index(settings)
    whole_s = time.perf_counter() - began
    store = open_store(settings.state.location, settings.source)
    receipts = list(open_receipts(store, 0))
    seconds = report.seconds_by_phase
    alone_s = {
        "plan": seconds["list and plan"],
        "last sweep": seconds["sweep"],
        "state": seconds["write the state"],
    }
    beside.wall_s["receipts"], beside.cpu_s["receipts"] = _receipts_s(receipts, folder)
    for step, taken_s in alone_s.items():
        print(f"{step:<12}{taken_s:>8.2f} s {taken_s / whole_s:>8.2%}", flush=True)
    for step, taken_s in beside.wall_s.items():
        print(f"{step:<12}{taken_s:>8.2f} s {taken_s / whole_s:>8.2%}  beside the encoder, "
              f"{beside.cpu_s[step]:.2f} s of a core", flush=True)  # fmt: skip
    print("  ".join(f"{name} {s:.1f} s" for name, s in seconds.items()))
    cores = os.cpu_count() or 1
    longer_s = sum(alone_s.values()) + sum(beside.cpu_s.values()) / cores
    sum_s = sum(alone_s.values()) + sum(beside.wall_s.values())
    upsert_s = _upsert_s(store)
    print(f"protocol {longer_s:.1f} s of {whole_s:.0f} s: {longer_s / whole_s:.1%} "
          f"(at most {TARGET_SHARE:.0%} asked); all steps' seconds added up {sum_s:.1f} s, "
          f"{sum_s / whole_s:.1%}; upserts {upsert_s:.1f} s; "
          f"{objects / whole_s:.0f} objects/s")  # fmt: skip
    return [
        {"name": f"protocol, {objects} objects", "value": round(longer_s, 2), "unit": "s",
         "baseline": round(whole_s, 2), "ratio": round(longer_s / whole_s, 4),
         "targets": [at_most(TARGET_SHARE, "ratio")],
         "added_up_s": round(sum_s, 2), "upsert_s": round(upsert_s, 2),
         **{k: round(v, 2) for k, v in {**alone_s, **beside.wall_s}.items()}}
    ]  # fmt: skip


class Beside:
    """The seconds, and the processor's, of what the index is asked to do by the loads' threads."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def timed(self) -> Iterator[None]:
        with ExitStack() as patched:
            for step, method in (("count", "count_points"), ("flip", "flip")):
                work = self._timed(step, getattr(VectorIndex, method))
                patched.enter_context(patch.object(VectorIndex, method, work))
            yield

    def _timed(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        self.wall_s[step] = self.cpu_s[step] = 0.0

        def timed(*given: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return work(*given, **named)
            finally:
                self.wall_s[step] += time.perf_counter() - wall
                self.cpu_s[step] += time.thread_time() - cpu

        return timed


def _upsert_s(store: Store) -> float:
    """Of all loads, by their receipts."""
    found = [store.read(name) for name in store.list(RUNS) if "/loads/" in name]
    loads = [json.loads(receipt.data) for receipt in found if receipt is not None]
    return sum(done["seconds_by_step"].get("upsert", 0.0) for done in loads)


def _receipts_s(receipts: list[ShardReceipt], folder: Path) -> tuple[float, float]:
    """The receipts of shards and of loads are written inside other stages: written once more."""
    store = FolderStore(folder / "again")
    began, cpu = time.perf_counter(), time.thread_time()
    for receipt in receipts:
        commit_receipt(store, receipt)
        store.create(RunFolder(receipt.sequence, receipt.run_id).load(receipt.shard), b"{}")
    return time.perf_counter() - began, time.thread_time() - cpu


@contextmanager
def s3_process() -> Iterator[str]:
    """Its URL. A thread of this process would take turns with what is measured."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(to: Connection) -> None:
    to.send(S3Server(_listing_kept).url)
    threading.Event().wait()  # it serves in a thread of its own until the process is ended


def _listing_kept(app: Any) -> Any:
    """moto takes 0.35 s a page to write a listing. Each is written once."""
    written: dict[str, tuple[str, list[Any], list[bytes]]] = {}

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        asked = environ.get("QUERY_STRING", "")
        if "list-type=2" not in asked:
            return app(environ, start_response)
        if asked not in written:
            said: list[Any] = []
            body = list(app(environ, lambda status, headers, *_: said.extend((status, headers))))
            written[asked] = (said[0], said[1], body)
        status, headers, body = written[asked]
        start_response(status, headers)
        return body

    return answer


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
