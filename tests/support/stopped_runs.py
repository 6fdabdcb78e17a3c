"""A run that stops at a step, as one whose process dies there: what is committed is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from pipeline.run.step_runner import Pending, PlainRunner, Step, plain_runner
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings

T = TypeVar("T")


class StoppedError(Exception):
    """No error of ours: nobody handles it."""


class StopsBefore:
    """A `pipeline.run.step_runner.StepRunner` that never does one step."""

    def __init__(self, step: Step, runner: PlainRunner) -> None:
        self._step = step
        self._runner = runner

    def call(self, step: Step, function: Callable[[], T]) -> T:
        self._look(step)
        return self._runner.call(step, function)

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]:
        self._look(step)
        return self._runner.stream(step, function)

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]:
        self._look(step)
        return self._runner.submit(step, function, number=number)

    def _look(self, step: Step) -> None:
        if step == self._step:
            raise StoppedError(step.name)


def stop_before(step: Step, settings: Settings) -> None:
    """A run of which all before that step is done."""
    with plain_runner(lambda _: None) as runner, pytest.raises(StoppedError):
        run_index(settings, runner=StopsBefore(step, runner))
