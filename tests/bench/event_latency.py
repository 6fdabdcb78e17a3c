"""How long an object takes from its PUT to being searchable by its event: alone, and beside a whole
run on the same cores; and what events cost such a run.

    python -m tests.bench.event_latency [--json FILE] [--events 10] [--every 3] [--objects 400]

`sensedex events` and `sensedex run` as anybody calls them, with the model that is loaded by
default; SeaweedFS as the bucket, moto as its queue. The index is a real Qdrant where
SENSEDEX_TEST_QDRANT_BIN names its program, else the tests' stand-in. All of it shares the cores. An
object counts as searchable when its anchor says so, which is looked at four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.cli.demo_server import demo_server
from pipeline.ids import asset_id
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.s3 import client as s3
from pipeline.s3.client import session_for
from pipeline.settings import Settings, load_settings
from pipeline.settings_index import IndexSettings
from tests.bench.targets import at_most
from tests.support import media_files
from tests.support.event_bodies import by_s3
from tests.support.qdrant_server import qdrant_server
from tests.support.real_qdrant import QdrantNodes, named_binary
from tests.support.s3_server import moto_server

BUCKET = "bench-events"
ALONE_S, BESIDE_S = 60.0, 120.0
LOOK_EVERY_S = 0.25
GIVE_UP_S = 900.0
COMMAND = (sys.executable, "-m", "flows.cli.main")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--events", type=int, default=10, help="objects that are put, each time")
    parser.add_argument("--every", type=float, default=3.0, help="seconds from one to the next")
    parser.add_argument("--objects", type=int, default=400, help="objects of each whole run")
    options = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="us-east-1"
    )
    with scene() as bench:
        rows = measured(bench, options.events, options.every, options.objects)
    print(f"{'put -> searchable':<44}{'median':>9}{'slowest':>9}{'asked':>8}")
    for row in rows:
        if "slowest" in row:
            print(
                f"{row['name']:<44}{row['value']:>7.1f} s{row['slowest']:>7.1f} s"
                f"{row['baseline']:>6.0f} s"
            )
        else:
            print(f"{row['name']:<44}{row['value']:>7.1f} s, alone {row['baseline']:.1f} s")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


@dataclass
class Bench:
    """A bucket, its queue and its index, and the process that serves the queue."""

    settings: Settings
    folder: Path
    index: VectorIndex
    s3: Any
    sqs: Any
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def words(self, command: str, *more: str) -> list[str]:
        settings = self.settings
        given = {
            "source.bucket": BUCKET,
            "source.endpoint_url": settings.source.endpoint_url,
            "state.location": settings.state.location,
            "events.queue_url": settings.events.queue_url,
            "index.url": settings.index.url,
            "index.prefer_grpc": str(settings.index.prefer_grpc).lower(),
            "index.grpc_port": str(settings.index.grpc_port),
            "search.recall_queries": "0",
        }
        pairs = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        return [*COMMAND, command, *more, *pairs]

    def put(self, folder: str) -> str:
        """Two pictures in three, and a sound of 20 s; its key."""
        number = next(self.numbers)
        sound = number % 3 == 2
        key = f"{folder}/{number:06d}.{'wav' if sound else 'jpg'}"
        body = media_files.wav(number, 20.0) if sound else media_files.jpeg(number)
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return key

    def tell(self, key: str) -> None:
        body = by_s3("ObjectCreated:Put", key, BUCKET, when=datetime.now(UTC).isoformat())
        self.sqs.send_message(QueueUrl=self.settings.events.queue_url, MessageBody=json.dumps(body))

    def latencies(self, events: int, every_s: float) -> list[float]:
        """So many objects, one after the other; seconds from each PUT to its being searchable."""
        put_at: dict[str, float] = {}
        waiting: dict[str, str] = {}
        took: list[float] = []
        began = time.monotonic()
        while len(took) < events:
            now = time.monotonic()
            if len(put_at) < events and now - began >= len(put_at) * every_s:
                key = self.put("events")
                put_at[key] = time.monotonic()
                waiting[asset_id(BUCKET, key)] = key
                self.tell(key)
            if waiting and self.index.exists():
                for asset in self.index.generations(list(waiting)):
                    took.append(time.monotonic() - put_at[waiting.pop(asset)])
            if now - began > GIVE_UP_S:
                raise TimeoutError(f"{len(waiting)} objects were not searchable in {GIVE_UP_S} s")
            time.sleep(LOOK_EVERY_S)
        return took


@contextmanager
def scene() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "s3").mkdir()
        bucket = stack.enter_context(demo_server(folder / "s3"))
        moto = stack.enter_context(moto_server())
        sqs = session_for(moto.settings())[1].client("sqs", endpoint_url=moto.url)
        index = _index(stack, folder)
        settings = load_settings(
            None,
            {
                "source.bucket": BUCKET,
                "source.endpoint_url": bucket.url,
                "state.location": str(folder / "state"),
                "events.queue_url": sqs.create_queue(QueueName="media")["QueueUrl"],
                **{f"index.{name}": value for name, value in index.items()},
            },
        )
        client = s3.make_client(settings.source)
        client.create_bucket(Bucket=BUCKET)
        opened = stack.enter_context(open_index(settings.index))
        yield Bench(settings, folder, opened, client, sqs)


def _index(stack: ExitStack, folder: Path) -> dict[str, Any]:
    binary = named_binary()
    if binary is None:
        server = stack.enter_context(qdrant_server())
        return {"url": server.url, "prefer_grpc": False}
    nodes = QdrantNodes(binary, folder / "qdrant")
    stack.callback(nodes.close)
    first = nodes.nodes[0]
    found = IndexSettings(url=first.url, grpc_port=first.grpc_port)
    return {"url": found.url, "prefer_grpc": True, "grpc_port": found.grpc_port}


def measured(bench: Bench, events: int, every_s: float, objects: int) -> list[dict[str, Any]]:
    with _served(bench):
        [first] = bench.latencies(1, 0.0)
        rows = [_row("the first one, with the model's start", [first], ALONE_S)]
        rows.append(_row("no whole run", bench.latencies(events, every_s), ALONE_S))
        alone_s = _filled_and_run(bench, objects).wait_s()
        run = _filled_and_run(bench, objects)
        beside = bench.latencies(events, every_s)
        still = run.at_work
        beside_s = run.wait_s()
    rows.append(_row("beside a whole run", beside, BESIDE_S, run_still_at_work=still))
    rows.append(
        {"name": f"a whole run of {objects} objects, events beside it",
         "value": round(beside_s, 2), "unit": "s", "baseline": round(alone_s, 2),
         "ratio": round(beside_s / alone_s, 3)}
    )  # fmt: skip
    return rows


def _row(name: str, seconds: list[float], asked_s: float, **more: Any) -> dict[str, Any]:
    slowest = max(seconds)
    return {
        "name": name,
        "value": round(statistics.median(seconds), 2),
        "unit": "s",
        "slowest": round(slowest, 2),
        "baseline": asked_s,
        "ratio": round(slowest / asked_s, 3),
        "targets": [at_most(asked_s, "slowest")],
        **more,
    }


@contextmanager
def _served(bench: Bench) -> Iterator[None]:
    with (bench.folder / "events.log").open("wb") as log:
        process = subprocess.Popen(
            bench.words("events"), cwd=bench.folder, stdout=log, stderr=subprocess.STDOUT,
            env=_environment(),
        )  # fmt: skip
        try:
            yield
        except BaseException:
            sys.stderr.write((bench.folder / "events.log").read_text(errors="replace"))
            raise
        finally:
            process.terminate()
            process.wait(timeout=60)


class _Run:
    """A whole run in a process of its own, whose end is noticed when it comes."""

    def __init__(self, bench: Bench) -> None:
        self._log = bench.folder / "run.log"
        self._seconds = 0.0
        self._began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                bench.words("run"), cwd=bench.folder, stdout=log, stderr=subprocess.STDOUT,
                env=_environment(),
            )  # fmt: skip
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        self._process.wait()
        self._seconds = time.monotonic() - self._began

    @property
    def at_work(self) -> bool:
        return self._process.poll() is None

    def wait_s(self) -> float:
        """Seconds from its start to its end."""
        self._waiter.join()
        if self._process.returncode:
            said = self._log.read_text(errors="replace")
            raise RuntimeError(f"the run ended with {self._process.returncode}:\n{said}")
        return self._seconds


def _filled_and_run(bench: Bench, objects: int) -> _Run:
    """More objects, and a run that finds them."""
    for _ in range(objects):
        bench.put("nightly")
    return _Run(bench)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


if __name__ == "__main__":
    main()
