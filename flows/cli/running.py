"""The run that is at work, as another terminal sees it: bars, rate and time left."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.cli.render import STATUS_STYLE, shown
from pipeline.progress import Stage
from pipeline.report.running import RunningRun, RunningState

LOOK_EVERY_S = 2.0
BAR_WIDTH = 32
_STYLES = {
    RunningState.RUNNING: "bold green",
    RunningState.DEAD: "bold red",
    RunningState.FAILED: "bold red",
}


def render_running(run: RunningRun) -> RenderableType:
    """A run for a terminal: what it does, how far each stage is, and what did not get in."""
    parts: list[RenderableType] = [_headline(run)]
    if run.stages:
        parts.append(_bars(run))
    if run.state is RunningState.RUNNING and run.objects_per_second:
        parts.append(Text(_pace(run)))
    if run.objects_by_status:
        ended = Text("so far: ")
        for number, (status, count) in enumerate(sorted(run.objects_by_status.items())):
            ended.append(", " if number else "")
            ended.append(f"{count:,} {status}", style=STATUS_STYLE.get(status, ""))
        parts.append(ended)
    if run.retries:
        causes = ", ".join(f"{count:,} by {cause}" for cause, count in sorted(run.retries.items()))
        parts.append(Text(f"tried again: {causes}", style="yellow"))
    return Group(*parts)


def follow(
    console: Console,
    look: Callable[[], RunningRun | None],
    *,
    as_json: bool,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Show the run until it is no longer at work; as JSON, an object a line. Raises as `look`."""
    if as_json:
        for run in _seen(look, wait):
            facts = None if run is None else asdict(run)
            sys.stdout.write(json.dumps(facts, ensure_ascii=True, default=str) + "\n")
            sys.stdout.flush()
        return
    if not console.is_terminal:
        for run in _seen(look, wait):
            console.print(_or_nobody(run))
        return
    with Live(console=console, auto_refresh=False) as live:
        for run in _seen(look, wait):
            live.update(_or_nobody(run), refresh=True)


def _seen(
    look: Callable[[], RunningRun | None], wait: Callable[[float], None]
) -> Iterator[RunningRun | None]:
    while True:
        run = look()
        yield run
        if run is None or run.state is not RunningState.RUNNING:
            return
        wait(LOOK_EVERY_S)


def _or_nobody(run: RunningRun | None) -> RenderableType:
    return "No run is at work." if run is None else render_running(run)


def _headline(run: RunningRun) -> Text:
    where = f" on {shown(run.holder)}" if run.holder else ""
    kind = "event run" if run.events else "run"
    again = (
        "Its messages come again."
        if run.events
        else ("What is committed is kept: run again to go on.")
    )
    line = Text.assemble((str(run.state), _STYLES[run.state]), f"  {kind} {run.run_id}{where}")
    line.append(f", since {run.started_at}; ")
    if run.state is RunningState.RUNNING:
        line.append(f"{shown(run.phase)} (as of {run.told_seconds_ago:.0f} s ago)")
    elif run.state is RunningState.DEAD:
        line.append(
            f"last heard of {_duration(run.told_seconds_ago)} ago ({shown(run.phase)}); its lease "
            f"is free or another's. {again}"
        )
    else:
        line.append(f"ended by {run.failed_by} {_duration(run.told_seconds_ago)} ago. {again}")
    return line


def _bars(run: RunningRun) -> Table:
    table = Table.grid(padding=(0, 2))
    for stage in Stage:
        done = run.stages.get(stage)
        objects = done.objects if done else 0
        bar = ProgressBar(max(1, run.total_objects), min(objects, run.total_objects), BAR_WIDTH)
        media = f"{done.media_seconds:,.0f} s" if done and done.media_seconds else ""
        binding = "sets the pace" if stage == run.binding_stage else ""
        count = f"{objects:,}/{run.total_objects:,} objects"
        table.add_row(str(stage), bar, count, media, f"[dim]{escape(binding)}[/dim]")
    return table


def _pace(run: RunningRun) -> str:
    left = "" if run.seconds_left is None else f"; about {_duration(run.seconds_left)} left"
    binding = (
        f"; {run.binding_stage} is busy {run.binding_share:.0%} of the time"
        if run.binding_stage
        else ""
    )
    return (
        f"{run.objects_per_second:,.1f} objects and {run.media_seconds_per_second:,.1f} "
        f"media-seconds a second{left}{binding}"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
