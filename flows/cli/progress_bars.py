"""Progress on the screen: a bar a stage in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flows.cli.render import STAGES_SHOWN
from pipeline.progress import OnProgress, RunProgress, Stage

LINE_EVERY_S = 5.0


@contextmanager
def live_progress(console: Console) -> Iterator[OnProgress]:
    """Gives the callback that a run is to call; bars stay on the screen when it ends."""
    if console.is_terminal:
        with _bars(console) as on_progress:
            yield on_progress
    else:
        yield _lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[OnProgress]:
    progress = Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:>5.0f}/{task.total:.0f} objects"),
        TextColumn("{task.fields[media]:>8}"),
        TimeElapsedColumn(),
        console=console,
        expand=True,
    )
    ids: dict[Stage, TaskID] = {}
    last_phase = [""]

    def show(now: RunProgress) -> None:
        if now.phase != last_phase[0]:
            last_phase[0] = now.phase
            progress.console.print(f"[dim]{now.phase} ...[/dim]")
        if not now.total_objects:
            return
        for stage in STAGES_SHOWN:
            if stage not in ids:
                ids[stage] = progress.add_task(stage, total=now.total_objects, media="")
            counts = now.of(stage)
            progress.update(
                ids[stage],
                total=now.total_of(stage),
                completed=counts.objects,
                media=f"{counts.media_ms / 1000:.0f} s",
            )

    with progress:
        yield show


def _lines(console: Console) -> OnProgress:
    last: list[Any] = ["", 0.0]

    def show(now: RunProgress) -> None:
        moment = time.monotonic()
        if now.phase == last[0] and moment - last[1] < LINE_EVERY_S:
            return
        last[:] = [now.phase, moment]
        counts = [
            f"{stage} {now.of(stage).objects}/{now.total_of(stage)} "
            f"({now.of(stage).media_ms / 1000:.0f} s)"
            for stage in STAGES_SHOWN
            if now.total_objects and now.of(stage).objects
        ]
        console.print(" ".join([f"{now.phase} ...", *counts]), style="dim", highlight=False)

    return show
