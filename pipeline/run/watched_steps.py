"""Steps that are looked on at: how long each took, how it ended, and when it is tried again.

It stands between the run and whoever calls the steps, so that the plain runner and Prefect's are
seen alike, and neither has to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from encoders.errors import EncoderError
from pipeline.errors import SensedexError
from pipeline.progress import ProgressReporter
from pipeline.run.step_runner import Pending, Step, StepRunner
from pipeline.run_events import StepEnded, StepRetried

T = TypeVar("T")
DEFECT = "defect"
INTERRUPTED = "interrupted"


def code_of(error: BaseException) -> str:
    """Of an error of ours its code; `interrupted` for a person's wish, `defect` for the rest."""
    if isinstance(error, (SensedexError, EncoderError)):
        return error.code
    return DEFECT if isinstance(error, Exception) else INTERRUPTED


class WatchedSteps:
    """A `pipeline.run.step_runner.StepRunner` that hands each step on to another."""

    def __init__(self, steps: StepRunner, reporter: ProgressReporter) -> None:
        self._steps = steps
        self._reporter = reporter

    def call(self, step: Step, function: Callable[[], T]) -> T:
        return self._steps.call(step, self._watched(step, function))

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]:
        return self._steps.stream(step, function)  # shards come out of it, which are told

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]:
        return self._steps.submit(step, self._watched(step, function, number), number=number)

    def _watched(self, step: Step, function: Callable[[], T], number: int = 0) -> Callable[[], T]:
        last: list[BaseException] = []

        def called() -> T:
            if last:
                error = last.pop()
                self._reporter.retried(StepRetried(step.name, code_of(error), str(error)))
            began = time.perf_counter()
            code = ""
            try:
                return function()
            except BaseException as error:
                last.append(error)
                code = code_of(error)
                raise
            finally:
                seconds = time.perf_counter() - began
                self._reporter.tell(StepEnded(step.name, seconds, code, number))

        return called
