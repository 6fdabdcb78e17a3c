"""Add up what the stages of a graph report, in an actor of Ray's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import ray
import ray.data

from pipeline.progress import Stage, StageProgress

REPORT_EVERY_S = 0.25


class ProgressBoard:
    """Adds up what the stages report, wherever they run."""

    def __init__(self) -> None:
        self.handle: Any = ray.remote(num_cpus=0)(_Board).remote()

    def snapshot(self) -> dict[Stage, StageProgress]:
        return cast("dict[Stage, StageProgress]", ray.get(self.handle.snapshot.remote()))

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
