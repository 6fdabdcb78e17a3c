"""The points of a run at which it can be killed, as wrappers around the functions that pass them.

Nothing of this is in the product: `arm` puts the wrappers in, in the process that is to die.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


STORE = "pipeline.store:FolderStore"
INDEX = "pipeline.qdrant:VectorIndex"
POINTS = (
    Point("start", "pipeline.run:start", "before"),
    Point("plan half written", f"{STORE}._written", "half", "plan.parquet"),
    Point("after plan", f"{STORE}.put_file", "after", "plan.parquet"),
    Point("during decode", "pipeline.decode_stage:DecodeStage.rows", "before"),
    Point("during encode", "pipeline.encode_stage:EncodeStage.table", "before"),
    Point("Parquet half written", f"{STORE}._written", "half", "/shards/"),
    Point("after Parquet", f"{STORE}.put_file", "after", "/shards/"),
    Point("after receipt", f"{STORE}.create", "after", "/receipts/"),
    Point("between upsert batches", f"{INDEX}.upsert_segments", "after"),
    Point("after count", f"{INDEX}.count_points", "after"),
    Point("in the flip", f"{INDEX}.flip", "half"),
    Point("after flip", f"{INDEX}.flip", "after"),
    Point("after sweep", f"{INDEX}.sweep", "after"),
    Point("load receipt half written", f"{STORE}._written", "half", "/loads/"),
    Point("after load receipt", f"{STORE}.create", "after", "/loads/"),
    Point("before removal", f"{INDEX}.remove", "before"),
    Point("after removal", f"{INDEX}.remove", "after"),
    Point("state rows half written", f"{STORE}._written", "half", "objects/"),
    Point("before the state write", f"{STORE}.replace", "before", "current.json"),
    Point("state half written", f"{STORE}._written", "half", "current.json"),
    Point("after the state write", f"{STORE}.replace", "after", "current.json"),
)


def point_named(name: str) -> Point:
    return next(point for point in POINTS if point.name == name)


def arm(point: Point, hit: int, passed: Path) -> None:
    """Kill this process when the point is passed for the `hit`-th time, from 1; 0 never. Every
    passing is a byte in the file `passed`."""
    module, _, path = point.where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    setattr(owner, name, _wrapped(original, point, _Counter(hit, passed)))
    if point.name == "start":
        # The flow's module holds the function by its module, so the line above is enough.
        return


class _Counter:
    def __init__(self, hit: int, passed: Path) -> None:
        self._hit = hit
        self._passed = passed
        self._count = 0

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
            die()
        answer = original(*arguments, **named)
        if mine and point.when == "after" and counter.due():
            die()
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
            die()
        with original(store, name, content) as path:
            yield path

    return written


def _half_flipped(original: Callable[..., Any], counter: _Counter) -> Callable[..., Any]:
    """The engine in this process does a batch's steps one by one: only the first is done."""

    @wraps(original)
    def flip(index: Any, anchors: Any) -> Any:
        if not counter.due():
            return original(index, anchors)
        whole = index._connection.client.batch_update_points

        def first_step(name: str, steps: list[Any], wait: bool) -> Any:
            whole(name, steps[:2], wait=wait)
            die()

        index._connection.client.batch_update_points = first_step
        return original(index, anchors)

    return flip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
