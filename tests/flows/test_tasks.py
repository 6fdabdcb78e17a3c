"""Steps of a run as Prefect tasks: what a server asks for before it is asked again."""

from __future__ import annotations

import time

import pytest
from prefect import flow

from flows.tasks import TaskRunner
from pipeline.errors import IndexUnavailable
from pipeline.run.step_runner import MAX_RETRY_AFTER_S, Step, asked_to_wait_s


def refused(retry_after_s: float) -> IndexUnavailable:
    error = IndexUnavailable("Too many requests.", code="rate_limited")
    error.retry_after_s = retry_after_s
    return error


@pytest.mark.usefixtures("prefect_running")
def test_a_task_leaves_a_server_alone_for_as_long_as_it_asks() -> None:
    called_at: list[float] = []

    def step() -> str:
        called_at.append(time.monotonic())
        if len(called_at) == 1:
            raise refused(1.5)
        return "done"

    @flow
    def run() -> str:
        return TaskRunner(patient=True).call(Step("load", (0.01,)), step)

    assert run() == "done"
    first, second = called_at
    assert second - first >= 1.5


def test_nobody_waits_for_hours() -> None:
    assert asked_to_wait_s(refused(7.0)) == 7.0
    assert asked_to_wait_s(refused(86_400.0)) == MAX_RETRY_AFTER_S
