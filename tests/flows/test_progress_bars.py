"""A run's progress on the screen: a bar a stage in a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re

from rich.console import Console

from flows.cli.progress_bars import live_progress
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.run_events import ShardCommitted


def run_that_takes_over(reporter: ProgressReporter, loaded_shards: int) -> None:
    """28 objects to embed, and two shards of four that a stopped run had committed."""
    reporter.set_totals(28, 7)
    for shard in range(9):
        statuses = {"indexed": 3, "rejected": 1}
        reporter.committed(ShardCommitted(shard, 4, statuses, recovered=shard < 2))
    for _ in range(loaded_shards):
        reporter.add(Stage.LOAD, StageProgress(objects=4, media_ms=8000))
    reporter.add(Stage.WRITE, StageProgress(objects=28))
    reporter.phase("sweeping")


def test_what_is_taken_over_is_loaded_beside_what_is_embedded() -> None:
    """Of all that is loaded, and of no less: never 36 of 28."""
    screen = io.StringIO()
    with live_progress(Console(file=screen, width=100)) as on_progress:
        run_that_takes_over(ProgressReporter(on_progress), 9)
    last = screen.getvalue().splitlines()[-1]
    assert re.findall(r"(load|write) (\d+)/(\d+)", last) == [
        ("write", "28", "28"),
        ("load", "36", "36"),
    ]


def test_a_bar_is_full_only_when_all_is_loaded() -> None:
    screens = {}
    for shards in (7, 9):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, color_system=None, width=100)
        with live_progress(console) as on_progress:
            run_that_takes_over(ProgressReporter(on_progress), shards)
        screens[shards] = [x for x in re.split(r"[\r\n]", screen.getvalue()) if "load" in x][-1]
    drawn = {shards: line.count("━") for shards, line in screens.items()}
    assert drawn[7] < drawn[9]
