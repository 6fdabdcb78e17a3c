"""Errors that have a name cost Prefect's log one line, and are the message of the run's state.

Prefect's engine logs an exception with its traceback where a task raises it, where the flow does,
and once or twice more where a deployment's process ends; then it logs the state, which says it
again. For an error of ours the first of these becomes the sentence that was made for it, and the
others are left out. A defect keeps its traceback, and `SENSEDEX_DEBUG=1` gives all of them back.
"""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.states import Failed

from encoders.errors import EncoderError
from flows.debugging import debugging
from pipeline.errors import SensedexError, printable

T = TypeVar("T")
NAMED = (SensedexError, EncoderError)
# Where Prefect's engine logs what a flow or a task has raised. A logger's filter sees what is
# logged by it, not by those below it.
ENGINE_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
_OF_A_TASK = re.compile(r"Task run encountered an exception (\w+): ")


def in_one_sentence(body: Callable[[], T], *, on_screen: bool = True) -> T:
    """Call a flow's body: an error of ours becomes the flow run's state, whose message is the
    sentence, and one line in its log. Whoever called the flow gets the error raised; where that is
    the command, which prints it, the line is not wanted `on_screen` as well.

    Where the flow run has retries left it is raised here, since Prefect retries what is raised.
    """
    log_errors_in_one_line(on_screen=on_screen)
    try:
        return body()
    except NAMED as error:
        if debugging() or _retries_left():
            raise
        _one_line.log(get_run_logger(), error)
        return cast("T", Failed(message=sentence_of(error), data=error))


def sentence_of(error: SensedexError | EncoderError) -> str:
    """Message, remedy and code on one line."""
    return printable(f"{error} [{error.code}]")


def log_errors_in_one_line(*, on_screen: bool = True) -> None:
    """For this process; calling it again changes nothing else. A wait before another try is always
    on the screen."""
    for name in ENGINE_LOGGERS:
        logging.getLogger(name).addFilter(_one_line)
    if not on_screen:
        for handler in logging.getLogger().handlers:  # Prefect's own for the screen
            handler.addFilter(_is_for_the_screen)


class _OneLine(logging.Filter):
    """Lets the first record of an error of ours pass, as one line, and no later one."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: weakref.WeakSet[BaseException] = weakref.WeakSet()

    def log(self, logger: logging.Logger | logging.LoggerAdapter[Any], error: Exception) -> None:
        """Unless the task that raised it has."""
        if error not in self._logged:
            logger.error("", exc_info=error)

    def filter(self, record: logging.LogRecord) -> bool:
        if debugging():
            return True
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, NAMED):
            return not self._is_repeated_by(record)
        if error in self._logged:
            return False
        self._logged.add(error)
        retry = _retry_in(record.getMessage())
        record.msg, record.args = "%s%s", (sentence_of(error), retry)
        record.exc_info = record.exc_text = None
        record.ends_the_run = not retry
        return True

    def _is_repeated_by(self, record: logging.LogRecord) -> bool:
        """Whether it is Prefect's line on the state in which a run has ended by an error of ours: a
        task's, which the flow is about to say, or the flow's, which has been said."""
        said = record.getMessage()
        if not said.startswith("Finished in state Failed("):
            return False
        if any(f"[{error.code}]" in said for error in self._logged if isinstance(error, NAMED)):
            return True
        found = _OF_A_TASK.search(said)
        return found is not None and found[1] in {cls.__name__ for cls in _tree(NAMED)}


def _retry_in(said: str) -> str:
    """What Prefect adds to a task's error: that it is tried again, and when."""
    _, found, retry = said.rpartition(" - Retry ")
    return f" Retry {retry}" if found else ""


def _is_for_the_screen(record: logging.LogRecord) -> bool:
    return not getattr(record, "ends_the_run", False)


def _tree(classes: Iterable[type[Exception]]) -> Iterator[type[Exception]]:
    for cls in classes:
        yield cls
        yield from _tree(cls.__subclasses__())


_one_line = _OneLine()


def _retries_left() -> bool:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    return context.flow_run.run_count <= (context.flow_run.empirical_policy.retries or 0)
