"""Calls the steps of a run: here plainly, in flows as Prefect tasks.

`pipeline.run.whole_run` has the steps in their order and calls each through a StepRunner, so that a
run that Prefect watches is the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipeline.errors import Transient

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
# Of which a cluster uses as many as its index takes (`pipeline.run.load_place`), one machine four.
LOAD_THREADS = 16
MAX_RETRY_AFTER_S = 120.0  # a server that asks for more is not waited for as long as it says


@dataclass(frozen=True, slots=True)
class Step:
    """A step by its name, and the waits before it is tried again after an error that a retry can
    help. `first_contact`: nothing is done yet, so whoever started the run by hand is told of a
    store that does not answer at once, and decides for himself."""

    name: str
    retry_delays_s: tuple[float, ...] = ()
    first_contact: bool = False

    def delays_s(self, *, patient: bool) -> tuple[float, ...]:
        return () if self.first_contact and not patient else self.retry_delays_s


PLAN = Step("plan", (2, 10, 30), first_contact=True)
CHECK = Step("check the index", (2, 10, 30), first_contact=True)
EMBED = Step("embed")
LOAD = Step("load", (1, 5, 20, 60, 120))
SWEEP = Step("sweep", (2, 10, 30))
STATE = Step("state", (2, 10, 30))
MEASURE = Step("measure")
RECALL = Step("measure the index")


def asked_to_wait_s(error: Transient) -> float:
    """How long the server that refused has asked to be left alone."""
    return min(error.retry_after_s, MAX_RETRY_AFTER_S)


class Pending(Protocol[T_co]):
    """What was begun and may not have ended."""

    def result(self) -> T_co: ...


class StepRunner(Protocol):
    """Calls a step's function; `submit` does so beside what comes next."""

    def call(self, step: Step, function: Callable[[], T]) -> T: ...

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]: ...

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]: ...


class PlainRunner:
    """In this process. `say` is told, in a sentence, of each wait before another try."""

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        say: Callable[[str], None],
        *,
        patient: bool = False,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._threads = threads
        self._say = say
        self._patient = patient
        self._wait = wait

    def call(self, step: Step, function: Callable[[], T]) -> T:
        delays_s = step.delays_s(patient=self._patient)
        for number, delay_s in enumerate(delays_s, 1):
            try:
                return function()
            except Transient as error:
                if not error.retryable:
                    raise
                delay_s = max(delay_s, asked_to_wait_s(error))
                self._say(
                    f"{step.name}: {error.message} Again in {delay_s:g} s ({number} of "
                    f"{len(delays_s)})"
                )
                self._wait(delay_s)
        return function()

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]:
        del step  # it is not tried again: what it has committed is
        return function()

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]:
        del number
        return self._threads.submit(self.call, step, function)


@contextmanager
def plain_runner(
    say: Callable[[str], None],
    *,
    patient: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[PlainRunner]:
    """Where the block ends by an error, what was submitted and has not begun is not begun."""
    threads = ThreadPoolExecutor(LOAD_THREADS, thread_name_prefix="sensedex-load")
    try:
        yield PlainRunner(threads, say, patient=patient, wait=wait)
    finally:
        threads.shutdown(cancel_futures=True)
