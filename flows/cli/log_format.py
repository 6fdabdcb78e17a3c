"""`--log-format`: what a command says on standard error, for people or as JSON objects."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from inspect import Parameter
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from flows.cli.exit_codes import Exit
from flows.json_lines import JsonLines, Level, json_lines, record_defect
from pipeline.progress import OnProgress, RunProgress, Stage, ignore_progress
from pipeline.run_events import (
    LeaseTaken,
    NotificationsDone,
    OnEvent,
    PhaseEnded,
    RunEnded,
    RunEvent,
    ShardCommitted,
    ShardLoaded,
    StepRetried,
    TraceBegun,
    Warned,
    ignore_event,
)

R = TypeVar("R")
FLAG = "--log-format"
LINE_EVERY_S = 5.0


class LogFormat(StrEnum):
    """Of what a command says while it works."""

    PLAIN = "plain"
    JSON = "json"


_OPTION = Annotated[
    LogFormat,
    typer.Option(FLAG, help="json: one object a line on standard error, for a log store."),
]


def with_log_format(command: Callable[..., R]) -> Callable[..., R]:
    """A command of typer's that takes `--log-format`. `logged_as_asked` has heeded it by then."""
    signature = inspect.signature(command, eval_str=True)
    option = Parameter(
        "log_format", Parameter.KEYWORD_ONLY, default=LogFormat.PLAIN, annotation=_OPTION
    )
    first, *others = signature.parameters.values()
    named = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in others]

    def with_format(options: Any, **values: Any) -> R:
        del values["log_format"]
        return command(options, **values)

    with_format.__name__, with_format.__doc__ = command.__name__, command.__doc__
    with_format.__signature__ = inspect.Signature([first, *named, option])  # type: ignore[attr-defined]
    return with_format


@contextmanager
def logged_as_asked(words: Sequence[str]) -> Iterator[None]:
    """Standard error in the format that the command line asks for; by its words, so that what is
    wrong with the rest of them is told in it, too."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    asked = any((word, value) == (FLAG, LogFormat.JSON) for word, value in pairs)
    if not asked and f"{FLAG}={LogFormat.JSON}" not in words:
        yield
        return
    before = sys.stderr
    sys.stderr = log = JsonLines(before)
    try:
        yield
    except Exception as error:
        record_defect(log, error)
        raise SystemExit(Exit.UNEXPECTED) from error
    finally:
        log.finish()
        sys.stderr = before


@contextmanager
def told_progress(console: Console) -> Iterator[tuple[OnProgress, OnEvent]]:
    """What a run is to call: bars or lines on the console, or objects on standard error."""
    if json_lines() is not None:
        log = RunLog()
        yield log.see, log.hear
        return
    from flows.cli.progress_bars import live_progress  # and what it renders with

    with live_progress(console) as on_progress:
        yield on_progress, ignore_event


def told_of_events() -> tuple[OnProgress, OnEvent]:
    """The same of a process whose event runs follow one another: objects, or nothing, since it says
    itself what became of each batch."""
    if json_lines() is None:
        return ignore_progress, ignore_event
    log = RunLog(goes_on=True)
    return log.see, log.hear


class RunLog:
    """A run as lines of JSON: its phases, its shards, each object that did not get in. Where the
    process `goes_on` when a run has ended, what it says then is not of that run."""

    def __init__(self, *, goes_on: bool = False) -> None:
        self._goes_on = goes_on
        self._phase = ""
        self._told_at = 0.0

    def see(self, progress: RunProgress) -> None:
        """A phase when it begins, and how far it is every few seconds."""
        moment = time.monotonic()
        if progress.phase == self._phase and moment - self._told_at < LINE_EVERY_S:
            return
        self._phase, self._told_at = progress.phase, moment
        done = {str(stage): progress.of(stage).objects for stage in Stage}
        counts = {"objects": progress.total_objects, "done": done} if any(done.values()) else {}
        _record(Level.INFO, progress.phase, **counts)

    def hear(self, event: RunEvent) -> None:
        match event:
            case TraceBegun():
                _in_every_line("trace_id", event.trace_id)
            case LeaseTaken():
                _in_every_line("run", event.run_id)
                _record(Level.INFO, "the lease is taken", sequence=event.sequence)
            case PhaseEnded():
                _record(Level.INFO, f"done: {event.name}", seconds=round(event.seconds, 3))
            case ShardCommitted():
                what = "shard taken over" if event.recovered else "shard committed"
                _record(Level.INFO, what, shard=event.shard, segments=event.segments)
                for told in event.told:
                    _record(
                        Level.WARNING if told.code else Level.INFO,
                        told.message or f"slow: {told.seconds:.1f} s",
                        shard=event.shard, asset=told.key, status=told.status, code=told.code,
                        stage=told.stage, seconds=told.seconds,
                    )  # fmt: skip
            case ShardLoaded():
                _record(
                    Level.INFO, "shard loaded", shard=event.shard, segments=event.segments,
                    seconds=round(event.seconds, 3),
                )  # fmt: skip
            case StepRetried():
                _record(Level.WARNING, event.message, code=event.code, step=event.name)
            case Warned():
                _record(Level.WARNING, event.message, code=event.code)
            case NotificationsDone():
                if counts := {name: n for name, n in event.messages_by_outcome.items() if n}:
                    longest = round(max(event.waited_seconds, default=0.0), 3)
                    _record(Level.INFO, "messages done", messages=counts, seconds=longest or None)
            case RunEnded(code=""):
                _record(Level.INFO, "the run is whole", objects=dict(event.objects_by_status))
        if self._goes_on and isinstance(event, RunEnded) and (log := json_lines()) is not None:
            log.context.pop("run", None)


def _in_every_line(name: str, value: str) -> None:
    if (log := json_lines()) is not None:
        log.context[name] = value


def _record(level: Level, message: str, **fields: Any) -> None:
    if (log := json_lines()) is not None:
        log.record(level, message, **fields)
