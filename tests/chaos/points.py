"""The points of a run at which it can be killed or stopped, as wrappers around the functions that
pass them.

Nothing of this is in the product: `arm` puts the wrappers in, in the process that is to die.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """`where` is module:name or module:Class.name; `name_has` must be in the stored name, where the
    function takes one. `when` is before, after, or half: half of the bytes are written."""

    name: str
    where: str
    when: str
    name_has: str = ""


class Kind(StrEnum):
    """Where the state is kept."""

    FOLDER = "folder"
    BUCKET = "bucket"


STORE = "pipeline.state.store:FolderStore"
INDEX = "pipeline.index.vector_index:VectorIndex"
POINTS = (
    Point("start", "pipeline.run.begin:start", "before"),
    Point("plan half written", f"{STORE}._written", "half", "plan.parquet"),
    Point("after plan", f"{STORE}.put_file", "after", "plan.parquet"),
    Point("during fetch", "pipeline.embed.fetch:Fetcher.fetch", "before"),
    Point("during decode", "pipeline.embed.decode:DecodeStage.rows", "before"),
    Point("during encode", "pipeline.embed.encode:EncodeStage.table", "before"),
    Point("Parquet half written", f"{STORE}._written", "half", "/shards/"),
    Point("after Parquet", f"{STORE}.put_file", "after", "/shards/"),
    Point("after receipt", f"{STORE}.create", "after", "/receipts/"),
    Point("before receipt is kept", "pipeline.run.kept_receipts:KeptReceipts.keep", "before"),
    Point("between upsert batches", "pipeline.index.upserts:Upserts.put", "after"),
    Point("upsert on its way", "qdrant_client:QdrantClient.upsert", "before"),
    Point("after count", f"{INDEX}.count_points", "after"),
    Point("flip on its way", "qdrant_client:QdrantClient.batch_update_points", "before"),
    Point("in the flip", f"{INDEX}.flip", "half"),
    Point("after flip", f"{INDEX}.flip", "after"),
    Point("load receipt half written", f"{STORE}._written", "half", "/loads/"),
    Point("after load receipt", f"{STORE}.create", "after", "/loads/"),
    Point("after the last sweep", f"{INDEX}.sweep_leftovers", "after"),
    Point("before removal", f"{INDEX}.remove", "before"),
    Point("after removal", f"{INDEX}.remove", "after"),
    Point("state rows half written", f"{STORE}._written", "half", "objects/"),
    Point("before the state write", f"{STORE}.replace", "before", "current.json"),
    Point("state half written", f"{STORE}._written", "half", "current.json"),
    Point("after the state write", f"{STORE}.replace", "after", "current.json"),
)

# An event run passes most of those, and has these of its own.
OF_EVENTS = (
    Point("before the increment", "pipeline.run.event_run:commit_increment", "before"),
    Point("increment half written", f"{STORE}._written", "half", "increments/"),
    Point("after the increment's file", f"{STORE}.put_file", "after", "increments/"),
)


def points_of(kind: Kind, *, grpc: bool = False, events: bool = False) -> tuple[Point, ...]:
    """In a bucket nothing is half written, and who is killed while sending has sent nothing. By
    gRPC segments do not go through the client's own upsert."""
    every = (*POINTS, *OF_EVENTS) if events else POINTS
    points = every if kind is Kind.FOLDER else tuple(_in_bucket(point) for point in every)
    return tuple(_by_grpc(point) for point in points) if grpc else points


def _by_grpc(point: Point) -> Point:
    if point.name != "upsert on its way":
        return point
    return replace(point, where="pipeline.index.upserts:send_upsert")


def _in_bucket(point: Point) -> Point:
    if not point.where.startswith(STORE):
        return point
    if point.when != "half":
        return replace(point, where=point.where.replace("FolderStore", "S3Store"))
    files = dict.fromkeys(("plan", "/sha", "obje", "incr"), "put_file")
    function = files | {"/loa": "create"}
    name = function.get(point.name_has[:4], "replace")
    return replace(point, where=f"pipeline.state.store:S3Store.{name}", when="before")


def point_named(name: str, kind: Kind = Kind.FOLDER, *, grpc: bool = False) -> Point:
    return next(p for p in points_of(kind, grpc=grpc, events=True) if p.name == name)


def arm(point: Point, hit: int, passed: Path, action: str = "kill") -> None:
    """Kill this process (or stop it: `action`) when the point is passed for the `hit`-th time, from
    1; 0 never. Every passing is a byte in the file `passed`."""
    module, _, path = point.where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    setattr(owner, name, _wrapped(original, point, _Counter(hit, passed, action)))


class _Counter:
    def __init__(self, hit: int, passed: Path, action: str) -> None:
        self._hit = hit
        self._passed = passed
        self._count = 0
        self._signal = signal.SIGKILL if action == "kill" else signal.SIGSTOP

    def act(self) -> None:
        """Killed, or stopped until somebody lets it go on. The thread that is at the point takes
        the signal itself: taken by another, it would go on until that one has its turn."""
        signal.pthread_kill(threading.get_ident(), self._signal)

    def due(self) -> bool:
        with self._passed.open("ab") as file:
            file.write(b".")
        self._count += 1
        return self._count == self._hit


def _wrapped(original: Callable[..., Any], point: Point, counter: _Counter) -> Callable[..., Any]:
    def concerns(arguments: tuple[Any, ...]) -> bool:
        return not point.name_has or point.name_has in str(arguments[1])

    if point.when == "half" and point.where.endswith("_written"):
        return _half_written(original, concerns, counter)
    if point.when == "half":
        return _half_flipped(original, counter)

    @wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        mine = concerns(arguments)
        if mine and point.when == "before" and counter.due():
            counter.act()
        answer = original(*arguments, **named)
        if mine and point.when == "after" and counter.due():
            counter.act()
        return answer

    return call


def _half_written(
    original: Callable[..., Any], concerns: Callable[[tuple[Any, ...]], bool], counter: _Counter
) -> Callable[..., Any]:
    @contextmanager
    def written(store: Any, name: str, content: bytes | Path) -> Iterator[Path]:
        if concerns((store, name)) and counter.due():
            data = content if isinstance(content, bytes) else content.read_bytes()
            half = store._root / ".writing" / "half"
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(data[: len(data) // 2])
            counter.act()
        with original(store, name, content) as path:
            yield path

    return written


def _half_flipped(original: Callable[..., Any], counter: _Counter) -> Callable[..., Any]:
    """The engine in this process does a batch's steps one by one: two are done."""

    @wraps(original)
    def flip(index: Any, *asked: Any, **named: Any) -> Any:
        if not counter.due():
            return original(index, *asked, **named)
        whole = index._connection.client.batch_update_points

        def first_steps(name: str, steps: list[Any], **more: Any) -> Any:
            whole(name, steps[:2], **more)
            counter.act()
            return whole(name, steps[2:], **more)

        index._connection.client.batch_update_points = first_steps
        return original(index, *asked, **named)

    return flip
