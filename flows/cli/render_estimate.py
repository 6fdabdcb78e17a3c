"""An estimate as a person reads it in a terminal, alone or beside what came of it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.estimate.compare import CLOCK, MEDIA, Compared, compared, figure, misjudged
from pipeline.estimate.records import Estimate, Range
from pipeline.report.record import RunReport

CPU, GPU = "CPU time", "GPU time"
UNKNOWN = (
    "What it takes is unknown until a first run; `sensedex plan --probe` measures a minute's worth "
    "of these objects."
)


def render_estimate(estimate: Estimate | None) -> RenderableType:
    """A table of ranges, and what they were made by."""
    if estimate is None:
        return Text(UNKNOWN, style="dim")
    table = Table("it takes", "likely", "in 9 of 10 between", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, values in _rows(estimate):
        table.add_row(
            name, figure(values.likely), f"{figure(values.low)} and {figure(values.high)}"
        )
    gb = estimate.size_bytes / 1e9
    return Group(
        table,
        Text(
            f"{estimate.requests:,} GETs of {gb:,.3g} GB. By {estimate.calibrated_by}; CPU and GPU "
            "time is that of the machines from start to end, busy or not.",
            style="dim",
        ),
    )


def render_comparison(report: RunReport) -> list[RenderableType]:
    """What was expected beside what came; nothing where nothing was expected."""
    if report.estimate is None:
        return []
    table = Table("plan beside actual", "expected", "was", "", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for row in compared(report.estimate, report.actual):
        table.add_row(*_compared(row))
    off = misjudged(report.estimate, report.actual)
    return [table, *([Text(off, style="yellow")] if off else [])]


def _compared(row: Compared) -> tuple[str, str, str, Text]:
    verdict = Text("as expected", "green") if row.inside else Text("outside", "yellow")
    return row.name, row.expected_words, row.actual_words, verdict


def _rows(estimate: Estimate) -> list[tuple[str, Range]]:
    rows = [
        (MEDIA, estimate.media_hours),
        ("windows", estimate.windows),
        (CLOCK, estimate.hours),
        (CPU, estimate.cpu_hours),
    ]
    if estimate.gpu_hours.high:
        rows.append((GPU, estimate.gpu_hours))
    rows.append(("GB of vectors", estimate.stored_bytes.times(1e-9)))
    if estimate.money is not None:
        rows.append((f"money, {estimate.currency}", estimate.money))
    return rows
