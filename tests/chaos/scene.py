"""A bucket that changes between two runs, and what clean runs make of both; folders in which the
second run can be disturbed, again and again from the same beginning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from pipeline.index.vector_index import open_index
from pipeline.records import ShardReceipt
from pipeline.settings import IndexSettings, Settings, load_settings
from pipeline.source.source import open_source
from pipeline.state.objects import read_state
from pipeline.state.receipts import receipt_at
from pipeline.state.store import open_store
from tests.chaos.bucket import Bucket
from tests.chaos.host import Ended, Host
from tests.chaos.points import Kind
from tests.chaos.reading import (
    Live,
    Points,
    Verdict,
    everything,
    judge,
    live_now,
    read_log,
    reading,
    same,
)
from tests.chaos.server_collection import ServerCollection
from tests.support.qdrant_server import StandIn, qdrant_server
from tests.support.s3_server import S3Server

SHARD_OBJECTS = 6
STATE_BUCKET = "state"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a run keeps its state, and which engine it writes to. A late writer can only be had on
    a server: the embedded engine's folder is one process's."""

    state: Kind = Kind.FOLDER
    on_server: bool = False


class Scene:
    """`before` and `after` are what a reader sees of the two states of the bucket. `index`: a real
    server to which all runs write, in place of the embedded engine; what is in its collection goes
    before each of them."""

    def __init__(
        self,
        server: S3Server,
        host: Host,
        folder: Path,
        *,
        objects: int = 64,
        seed: int = 0,
        index: IndexSettings | None = None,
    ) -> None:
        self._server = server
        self._index = None if index is None else ServerCollection(index)
        self._folder = folder
        self._client = server.client()
        self.host = host
        folder.mkdir(parents=True, exist_ok=True)
        self._client.create_bucket(Bucket=STATE_BUCKET)
        self.bucket = Bucket(self._client, objects, seed)
        self.bucket.fill()
        if self._index is not None:
            self._index.drop()
        before = self._new("before", Way())
        self.before = before.live()
        if self._index is not None:
            self._index.keep()
        self.bucket.change()
        clean = self._copy("clean", Way())
        assert clean.run().status == 0
        self.after = clean.live()
        self.wanted = clean.everything()

    @property
    def by_grpc(self) -> bool:
        return self._index is not None and self._index.settings.prefer_grpc

    def begin(self, way: Way = Way()) -> Place:
        """A folder in which the first run has been and the second has not."""
        return self._copy("work", way)

    def judged(self, seen: list[Live]) -> Verdict:
        kept = set(self.before) & set(self.after)
        return judge(seen, self._whole(), kept, bit_by_bit=self._index is not None)

    def _new(self, name: str, way: Way) -> Place:
        place = self._place(name, way)
        place.folder.mkdir()
        place.write_settings()
        ended = place.run()
        assert ended.status == 0, ended.said
        return place

    def _copy(self, name: str, way: Way) -> Place:
        """What stands in a bucket is copied, too, if the state is to be there."""
        place = self._place(name, way)
        if self._index is not None:
            self._index.restore()
        shutil.rmtree(place.folder, ignore_errors=True)
        shutil.copytree(self._folder / "before", place.folder)
        for file in ("reads", "passed", "embedded"):
            (place.folder / file).unlink(missing_ok=True)
        if way.state is Kind.BUCKET:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=STATE_BUCKET):
                for found in page.get("Contents", ()):
                    self._client.delete_object(Bucket=STATE_BUCKET, Key=found["Key"])
            state = place.folder / "state"
            for path in sorted(p for p in state.rglob("*") if p.is_file()):
                key = f"{name}/{path.relative_to(state).as_posix()}"
                if ".writing" not in key:
                    self._client.put_object(Bucket=STATE_BUCKET, Key=key, Body=path.read_bytes())
            shutil.rmtree(state)
        place.write_settings()
        return place

    def _place(self, name: str, way: Way) -> Place:
        settings = None if self._index is None else self._index.settings
        return Place(self._server, self.host, self._folder / name, way, settings)

    def _whole(self) -> Mapping[str, Mapping[str, int]]:
        whole: dict[str, dict[str, int]] = {}
        for live in (self.before, self.after):
            for asset, generations in live.items():
                whole.setdefault(asset, {}).update(generations)
        return whole


class Place:
    """One folder with state, settings, and the index, unless that is on a server."""

    def __init__(
        self,
        server: S3Server,
        host: Host,
        folder: Path,
        way: Way,
        index: IndexSettings | None = None,
    ) -> None:
        self._server = server
        self._host = host
        self.folder = folder
        self.way = way
        self._index = {} if index is None else index.model_dump(mode="json", exclude_defaults=True)

    def write_settings(self, **more: Any) -> None:
        state = str(self.folder / "state")
        if self.way.state is Kind.BUCKET:
            state = f"s3://{STATE_BUCKET}/{self.folder.name}"
        values: dict[str, Any] = {
            "source.bucket": "media",
            "source.endpoint_url": self._server.url,
            "source.region": "us-east-1",
            "encode.encoder": "imagebind-demo",
            "encode.batch_size": 8,
            "embed.engine": "loop",
            "index.path": str(self.folder / "qdrant"),
            "index.upsert_points": 4,
            "state.location": state,
            "state.shard_objects": SHARD_OBJECTS,
            # A killed run's is free at once. A sleeper's has to end; no other's may, however busy
            # the machine is.
            "state.lease_ttl_s": 5 if self.way.on_server else 60,
            "search.recall_queries": 0,  # after the state is written there is nothing to kill
        }
        values |= {f"index.{name}": value for name, value in self._index.items()}
        (self.folder / "settings.json").write_text(json.dumps(values | more))

    def settings(self) -> Settings:
        return load_settings(None, json.loads((self.folder / "settings.json").read_text()))

    @contextmanager
    def watched(self, *, may_be_away: bool = False) -> Iterator[None]:
        """With a reader that polls the collection all along, where that is behind a server; the
        embedded engine is open to a run alone, which has a reader of its own."""
        if not self._index and not self.way.on_server:
            yield
            return
        with (
            nullcontext() if self._index else self._served(),
            open_index(self.settings().index) as index,
            reading(index, self.folder / "reads", may_be_away=may_be_away),
        ):
            yield

    @contextmanager
    def _served(self) -> Iterator[None]:
        """The folder's collection behind a stand-in."""
        engine = QdrantClient(
            path=str(self.folder / "qdrant"), force_disable_check_same_thread=True
        )
        try:
            with qdrant_server(StandIn(engine=engine)) as server:
                self.write_settings(**{"index.url": server.url, "index.prefer_grpc": False})
                yield
        finally:
            engine.close()
            self.write_settings()

    def run(
        self,
        point: str = "",
        hit: int = 0,
        action: str = "kill",
        scratch: str = "",
        *,
        events: bool = False,
    ) -> Ended:
        """`scratch` stands for TMPDIR; `events`: an event run for every key there is or was."""
        if events:
            self._tell_of_all()
        return self._host.run(
            self.folder, point=point, hit=hit, action=action, scratch=scratch, events=events
        )

    def _tell_of_all(self) -> None:
        settings = self.settings()
        listed = {obj.key for obj in open_source(settings.source).listed()}
        known = read_state(open_store(settings.state.location, settings.source)).rows()
        keys = sorted(listed | {row.key for row in known})
        (self.folder / "events.json").write_text(json.dumps(keys))

    def start(self, name: str, point: str = "", hit: int = 0, action: str = "kill") -> int:
        return self._host.start(self.folder, name=name, point=point, hit=hit, action=action)

    def wait(self, pid: int) -> Ended:
        return self._host.wait(pid)

    def passed(self) -> int:
        file = self.folder / "passed"
        return file.stat().st_size if file.is_file() else 0

    def reads(self) -> tuple[int, list[Live]]:
        return read_log(self.folder / "reads")

    def live(self) -> Live:
        with open_index(self.settings().index) as index:
            return live_now(index)

    def everything(self, *, of_the_run: bool = False) -> Points:
        with open_index(self.settings().index) as index:
            return everything(index, of_the_run=of_the_run)

    def converged(self, wanted: Points) -> bool:
        return same(self.everything(), wanted)

    def embedded_in_vain(self) -> int:
        """Shards of the newest run of which the encoder has given something, without a receipt."""
        file = self.folder / "embedded"
        embedded = set(json.loads(file.read_text())) if file.is_file() else set()
        return len(embedded - {receipt.shard for receipt in self._receipts()})

    def failures(self) -> list[str]:
        """The codes of what failed, in the newest run."""
        outcomes = (outcome for receipt in self._receipts() for outcome in receipt.outcomes)
        return [outcome.failure.code for outcome in outcomes if outcome.failure is not None]

    def _receipts(self) -> list[ShardReceipt]:
        settings = self.settings()
        store = open_store(settings.state.location, settings.source)
        last = max((name.split("/")[1] for name in store.list("runs/")), default="")
        names = store.list(f"runs/{last}/receipts/") if last else ()
        return [receipt_at(store, name) for name in names]
