"""A changed bucket, a collection behind a server of its own process, and a real run over them to
which something happens while it is at work."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.index.vector_index import open_index
from pipeline.report.record import RunReport
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, load_settings
from tests.chaos.qdrant_process import QdrantProcess
from tests.chaos.reading import Live, Points, everything, judge, live_now, same
from tests.chaos.real_run import Ended, PrefectServer, RealRun
from tests.chaos.witness import Witness
from tests.support import media_files
from tests.support.free_port import free_port
from tests.support.s3_server import S3Server

OBJECTS = 72
SHARD_OBJECTS = 24
# The run under attack gets so many objects at once, then waits until it was struck. Decoders are
# given 16 small objects at a time, so the first shard is in the index by then, the writer has a
# third of the second in its memory alone, and a decoder is half through its third portion.
GETS_AT_ONCE = 42
PASSED_ON = 32
SETTLED_S = 2.0
ENCODED = re.compile(r"encode (\d+)/")
LONGEST_GET_S = 40.0
LONGEST_RUN_S = 900.0


@dataclass(slots=True)
class UnderWay:
    """What a disaster can reach."""

    run: RealRun
    qdrant: QdrantProcess
    prefect: PrefectServer
    struck: threading.Event = field(default_factory=threading.Event)

    def let_go(self) -> None:
        """Whoever waits for an object gets it, before the run's fate is known."""
        self.struck.set()


@dataclass(frozen=True, slots=True)
class Disaster:
    """`strike` does it and says whether it came to it. `ends`: the exit statuses that the struck
    run may end with."""

    name: str
    strike: Callable[[UnderWay], bool]
    ends: tuple[int, ...] = (0,)
    engine: str = "local"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a disaster came to. `again`: objects that were fetched once more than needed;
    `remaining`: objects that the next run embedded, beyond what it took over; `refused`: reads that
    the server was not there to answer; `left`: processes that outlived their run."""

    name: str
    struck: bool
    status: int
    expected: tuple[int, ...]
    hung: bool
    seconds: float
    said: str
    failed: int
    remaining: int
    converged: bool
    again: int
    reads: int
    refused: int
    lost: int
    doubled: int
    half: int
    left: tuple[str, ...]

    @property
    def clean(self) -> bool:
        wrong = self.lost or self.doubled or self.half or self.failed or self.left or self.hung
        ended = self.status in self.expected and self.within_a_shard
        return self.struck and self.converged and ended and not wrong

    @property
    def within_a_shard(self) -> bool:
        return self.again <= SHARD_OBJECTS


class DisasterScene:
    """Made once; every disaster begins at the same moment, with copies of the same folders."""

    def __init__(
        self, s3: S3Server, prefect: PrefectServer, folder: Path, engines: set[str]
    ) -> None:
        self._s3 = s3
        self._prefect = prefect
        self._folder = folder
        client = s3.client()
        self._fill(client)
        for engine in sorted(engines | {"local"}):
            with _Served(self._place(f"before-{engine}"), engine) as qdrant:
                run_index(self._settings(f"before-{engine}", qdrant.url), RunOptions())
                self.before = self._live(f"before-{engine}")
        self._change(client)
        shutil.copytree(self._place("before-local"), self._place("clean"))
        with _Served(self._place("clean"), "local") as qdrant:
            run_index(self._settings("clean", qdrant.url), RunOptions())
            self.after = self._live("clean")
            self.wanted = self._everything("clean")

    def attempt(self, disaster: Disaster) -> Outcome:
        work = self._place("work")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self._place(f"before-{disaster.engine}"), work)
        self._prefect.start()
        with _Served(work, disaster.engine) as qdrant:
            settings = self._settings("work", qdrant.url)
            witness = Witness(settings.index)
            first_request = len(self._s3.requests)
            with witness.watching():
                ended, struck = self._struck_run(disaster, qdrant, work)
                qdrant.start()
                following = run_index(settings, RunOptions())
            gets = Counter(
                path
                for method, path in self._s3.requests[first_request:]
                if method == "GET" and path.strip("/").count("/") > 0
            )
            converged = same(self._everything("work"), self.wanted)
            witness.seen.append(self._live("work"))
        verdict = judge(witness.seen, self._whole(), set(self.before) & set(self.after))
        failed = dict(ended.report.get("objects_by_status", {})).get("failed", 0)
        return Outcome(
            disaster.name,
            struck,
            ended.status,
            disaster.ends,
            ended.hung,
            ended.seconds,
            ended.said,
            failed,
            _to_embed(following),
            converged,
            sum(count - 1 for count in gets.values()),
            witness.reads,
            witness.refused,
            len(verdict.lost),
            len(verdict.doubled),
            len(verdict.half),
            ended.left,
        )

    def _struck_run(
        self, disaster: Disaster, qdrant: QdrantProcess, work: Path
    ) -> tuple[Ended, bool]:
        passed = 0
        lock = threading.Lock()
        before = set((work / "state/runs").iterdir())
        run = self._start("work")
        under_way = UnderWay(run, qdrant, self._prefect)

        def hold_back() -> None:
            nonlocal passed
            with lock:
                passed += 1
                waits = passed > GETS_AT_ONCE
            if waits:
                under_way.struck.wait(LONGEST_GET_S)

        def at_work() -> bool:
            now = set((work / "state/runs").iterdir()) - before
            loaded = any(any(folder.glob("loads/*.json")) for folder in now)
            encoded = max(map(int, ENCODED.findall(run.said())), default=0)
            return loaded and encoded >= PASSED_ON

        self._s3.before_object_get = hold_back
        try:
            struck = run.wait_for(at_work)
            time.sleep(SETTLED_S)
            struck = struck and disaster.strike(under_way)
            under_way.let_go()
            return run.end(), struck
        finally:
            under_way.let_go()
            self._s3.before_object_get = lambda: None
            run.family.kill()

    def _fill(self, client: Any) -> None:
        clip = media_files.mp4(7)
        for number in range(OBJECTS):
            body, name = media_files.jpeg(number), f"{number:03d}.jpg"
            if number % 8 == 3:
                body, name = media_files.wav(number), f"{number:03d}.wav"
            elif number % 16 == 5:
                body, name = clip, f"{number:03d}.mp4"
            client.put_object(Bucket="media", Key=name, Body=body)

    def _change(self, client: Any) -> None:
        """Half of the pictures change, more come, three go, one's new content is no media."""
        for number in range(0, OBJECTS, 2):
            if number not in (2, 10, 34, 12):
                key = f"{number:03d}.jpg"
                client.put_object(Bucket="media", Key=key, Body=media_files.jpeg(500 + number))
        for number in range(200, 232):
            client.put_object(Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number))
        for number in (2, 10, 34):
            client.delete_object(Bucket="media", Key=f"{number:03d}.jpg")
        client.put_object(Bucket="media", Key="012.jpg", Body=b"no picture any more\n" * 20)
        client.put_object(Bucket="media", Key="003.wav", Body=media_files.wav(333, 9.0))

    def _place(self, name: str) -> Path:
        return self._folder / name

    def _settings(self, name: str, url: str) -> Settings:
        parts: dict[str, dict[str, Any]] = {
            "source": {"bucket": "media", "endpoint_url": self._s3.url, "region": "us-east-1"},
            "encode": {"encoder": "imagebind-demo", "batch_size": 8},
            "index": {"url": url, "prefer_grpc": False, "upsert_points": 4},
            "state": {
                "location": str(self._place(name) / "state"),
                "shard_objects": SHARD_OBJECTS,
            },
        }
        lines = []
        for part, fields in parts.items():
            lines += [f"[{part}]", *(f"{key} = {json.dumps(v)}" for key, v in fields.items())]
        file = self._place(name) / "sensedex.toml"
        file.write_text("\n".join(lines))
        return load_settings(file)

    def _start(self, name: str) -> RealRun:
        work = self._place(name)
        environment = {**self._prefect.environment, "SENSEDEX_EMBED__ENGINE": "ray"}
        return RealRun(work / "run", work / "sensedex.toml", environment, LONGEST_RUN_S)

    def _live(self, name: str) -> Live:
        with open_index(load_settings(self._place(name) / "sensedex.toml").index) as index:
            return live_now(index)

    def _everything(self, name: str) -> Points:
        with open_index(load_settings(self._place(name) / "sensedex.toml").index) as index:
            return everything(index)

    def _whole(self) -> dict[str, dict[str, int]]:
        whole: dict[str, dict[str, int]] = {}
        for live in (self.before, self.after):
            for asset, generations in live.items():
                whole.setdefault(asset, {}).update(generations)
        return whole


def _to_embed(report: RunReport) -> int:
    """Objects that a run embedded, and did not find in the receipts of the one before."""
    planned = sum(report.objects_by_action.get(a, 0) for a in ("new", "changed", "retry"))
    return planned - report.recovered_objects


class _Served:
    """A server over `folder/qdrant` while the context lasts."""

    def __init__(self, folder: Path, engine: str) -> None:
        self._qdrant = QdrantProcess(folder / "qdrant", free_port(), engine)

    def __enter__(self) -> QdrantProcess:
        self._qdrant.start()
        return self._qdrant

    def __exit__(self, *_: object) -> None:
        self._qdrant.stop()
