"""Steps of a run as Prefect tasks: the seam between `pipeline.run.whole_run` and Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from pipeline.errors import SensedexError, Transient
from pipeline.run.step_runner import Pending, Step, asked_to_wait_s

T = TypeVar("T")
JITTER = 0.3


class TaskRunner:
    """A `pipeline.run.step_runner.StepRunner`: each step is a task of the flow that is running.

    `patient`: a first contact with bucket and index is tried again too.
    """

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient

    def call(self, step: Step, function: Callable[[], T]) -> T:
        return cast("T", self._task(step, function)())

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]:
        def items() -> Iterator[T]:
            yield from function()

        yield from cast("Iterator[T]", self._task(step, items)())

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]:
        named = self._task(step, function, run_name=f"{step.name}-{number:05d}")
        return cast("Pending[T]", named.submit())

    def _task(
        self, step: Step, function: Callable[[], Any], run_name: str | None = None
    ) -> Task[[], Any]:
        """What a step takes and gives stays in this process: it takes no parameters, which Prefect
        would look through, and its result is not kept."""
        delays_s = step.delays_s(patient=self._patient)
        return Task(
            _leaving_alone(function) if delays_s else function,
            name=step.name,
            task_run_name=run_name,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=len(delays_s),
            retry_delay_seconds=list(delays_s) or None,
            retry_jitter_factor=JITTER if delays_s else None,
            retry_condition_fn=_worth_a_retry,
        )


def _leaving_alone(function: Callable[[], T]) -> Callable[[], T]:
    """Prefect's delays are fixed beforehand: what a server asks for is waited before the task
    fails, and they come on top."""

    def called() -> T:
        try:
            return function()
        except Transient as error:
            time.sleep(asked_to_wait_s(error))
            raise

    return called


def _worth_a_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """The error's class says whether a retry can help; a defect of ours is not tried again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SensedexError) and error.retryable
