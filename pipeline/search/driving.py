"""Runs the steps of a search: here, or awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol, TypeVar

from pipeline.index.types import Asked

R = TypeVar("R")


class Answers(Protocol):
    """Who answers what a search asks: `pipeline.index.asking.Asker`."""

    def ask(self, asked: Asked) -> Any: ...


class AwaitedAnswers(Protocol):
    """The same, awaited: `pipeline.index.async_asking`."""

    async def ask(self, asked: Asked) -> Any: ...


def drive(steps: Generator[Asked, Any, R], answers: Answers) -> R:
    """What the steps return. Raises what they and the asker raise."""
    try:
        asked = next(steps)
        while True:
            asked = steps.send(answers.ask(asked))
    except StopIteration as end:
        value: R = end.value
        return value


async def drive_awaited(steps: Generator[Asked, Any, R], answers: AwaitedAnswers) -> R:
    """The same beside an event loop: what the steps compute, an encoder's work too, is computed in
    a thread."""
    given: Any = None
    while True:
        done, value = await asyncio.to_thread(_step, steps, given)
        if done:
            result: R = value
            return result
        given = await answers.ask(value)


def _step(steps: Generator[Asked, Any, R], given: Any) -> tuple[bool, Any]:
    """A StopIteration cannot be raised into a future."""
    try:
        return False, steps.send(given)
    except StopIteration as end:
        return True, end.value
