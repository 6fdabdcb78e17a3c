"""One actor of Ray's that the stages of a graph tell what they do: it adds up their counts, keeps
book of what they begin and end (`pipeline.embed.attempts`), and knows on which node each is.

It is on the driver's node: what is lost with that is the run itself.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import ray
import ray.exceptions

from pipeline.embed.attempts import Attempts, Verdict
from pipeline.embed.cluster import living_nodes, own_node, pinned_to
from pipeline.progress import Stage, StageProgress

REPORT_EVERY_S = 0.25


class ProgressBoard:
    """Adds up what the stages report, wherever they run."""

    def __init__(self) -> None:
        board: Any = ray.remote(num_cpus=0)(_Board)
        here = pinned_to(own_node())
        self.handle: Any = board.options(scheduling_strategy=here).remote()

    def snapshot(self) -> dict[Stage, StageProgress]:
        return cast("dict[Stage, StageProgress]", ray.get(self.handle.snapshot.remote()))

    def begin_graph(self, kept: Mapping[Stage, StageProgress]) -> None:
        """What the graph before counted beyond `kept` is done again, and counted again."""
        with suppress(ray.exceptions.RayError):
            ray.get(self.handle.begin_graph.remote(dict(kept)))

    def begun_shards(self) -> frozenset[int]:
        """Of which a decoder of the latest graph has had something."""
        try:
            return cast("frozenset[int]", ray.get(self.handle.begun_shards.remote()))
        except ray.exceptions.RayError:
            return frozenset()

    def most_actors(self) -> dict[Stage, int]:
        """The most that there were at once in a stage of the latest graph."""
        try:
            return cast("dict[Stage, int]", ray.get(self.handle.most_actors.remote()))
        except ray.exceptions.RayError:
            return {}

    def stranded(self) -> bool:
        """Whether an actor's node is gone, and it has not begun anew on another."""
        return bool(ray.get(self.handle.stranded.remote(living_nodes())))

    def end_graph(self) -> None:
        """Kill all actors of the graph, which then ends with an error."""
        with suppress(ray.exceptions.RayError):
            for actor in ray.get(self.handle.actors.remote()):
                ray.kill(pickle.loads(actor))

    def forget_actors(self) -> None:
        """An actor ends when nobody knows it any more."""
        with suppress(ray.exceptions.RayError):
            ray.get(self.handle.forget_actors.remote())

    @contextmanager
    def followed_by(
        self, see: Callable[[Mapping[Stage, StageProgress]], None], every_s: float
    ) -> Iterator[None]:
        """Tell `see` what the counts are, every so often and once more at the end.

        A board that is lost stops the telling, not the work that it tells of.
        """
        done = threading.Event()

        def follow() -> None:
            while not done.wait(every_s):
                try:
                    see(self.snapshot())
                except ray.exceptions.RayError:
                    return  # the session is going down; the graph itself says why

        thread = threading.Thread(target=follow, daemon=True, name="board")
        thread.start()
        try:
            yield
            with suppress(ray.exceptions.RayError):
                see(self.snapshot())
        finally:
            done.set()
            thread.join(timeout=5)


class _Board:
    def __init__(self) -> None:
        self._stages: dict[Stage, StageProgress] = {}
        self._attempts = Attempts(living_nodes)
        self._begun: set[int] = set()
        self._places: dict[str, tuple[str, bytes]] = {}
        self._stage_of: dict[str, Stage] = {}
        self._most: dict[Stage, int] = {}

    def begin_graph(self, kept: Mapping[Stage, StageProgress]) -> None:
        self._attempts.begin_graph()
        self._begun.clear()
        self._places.clear()
        self._stage_of.clear()
        self._most.clear()
        for stage, counted in self._stages.items():
            busy, precisions = counted.busy_seconds, counted.precisions
            known = kept.get(stage, StageProgress())
            if stage is Stage.FETCH:  # what was fetched was, whatever became of it
                known = replace(known, bytes=counted.bytes)
            self._stages[stage] = replace(known, busy_seconds=busy, precisions=precisions)

    def begin(self, piece: str, node: str, shards: Collection[int], batch: bool) -> Verdict:
        self._begun.update(shards)
        return self._attempts.begin(piece, node, batch=batch)

    def end(self, piece: str) -> None:
        self._attempts.end(piece)

    def begun_shards(self) -> frozenset[int]:
        return frozenset(self._begun)

    def arrived(self, actor_id: str, node: str, actor: bytes, stage: Stage) -> None:
        self._places[actor_id] = (node, actor)
        self._stage_of[actor_id] = stage
        here = sum(self._stage_of[each] is stage for each in self._places)
        self._most[stage] = max(here, self._most.get(stage, 0))

    def most_actors(self) -> dict[Stage, int]:
        return dict(self._most)

    def stranded(self, living: Collection[str]) -> bool:
        return any(node not in living for node, _ in self._places.values())

    def actors(self) -> list[bytes]:
        return [actor for _, actor in self._places.values()]

    def forget_actors(self) -> None:
        self._places.clear()

    def add(self, stage: Stage, progress: StageProgress) -> None:
        self._stages[stage] = self._stages.get(stage, StageProgress()).plus(progress)

    def snapshot(self) -> dict[Stage, StageProgress]:
        return dict(self._stages)


class Reporter:
    """Tells the board what a stage has done; little and often would cost a call an object."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._pending: dict[Stage, StageProgress] = {}
        self._told = 0.0

    def add(self, stage: Stage, progress: StageProgress) -> None:
        self._pending[stage] = self._pending.get(stage, StageProgress()).plus(progress)
        if time.monotonic() - self._told > REPORT_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """At the end of every task, so that nothing is left untold."""
        for stage, progress in self._pending.items():
            self._board.add.remote(stage, progress)  # fire and forget
        self._pending.clear()
        self._told = time.monotonic()


class Ledger:
    """What an actor of a graph tells the board of itself and of what it begins and ends."""

    def __init__(self, board: Any, stage: Stage) -> None:
        context = ray.get_runtime_context()
        self._board = board
        self._node = context.get_node_id()
        # Only who was started again can hold what killed its worker: others need not wait.
        self._started_again = context.was_current_actor_reconstructed
        me = context.current_actor
        me._ray_weak_ref = True  # else the board would keep alive what Ray takes out of a pool
        # As bytes: to read a handle, the board would import Ray Data, which it has no use for.
        handle = pickle.dumps(me)
        board.arrived.remote(context.get_actor_id(), self._node, handle, stage)

    def begin(self, piece: str, *, shards: Collection[int] = (), batch: bool = False) -> Verdict:
        answer = self._board.begin.remote(piece, self._node, shards, batch)
        if self._started_again:
            with suppress(ray.exceptions.RayError):  # without a board nothing is known
                return cast("Verdict", ray.get(answer))
        return Verdict(0, 0)

    def end(self, piece: str) -> None:
        self._board.end.remote(piece)  # fire and forget
