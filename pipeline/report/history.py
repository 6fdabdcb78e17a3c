"""The runs before a report's, as small plots: columns side by side, one a run, the oldest first.

Pure: reports in, frozen records out. `templates/column_plot.svg.j2` draws them, each on an axis of
its own from zero, so that heights are compared within a plot and not between two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.records import Status
from pipeline.report.plots import Tone
from pipeline.report.record import RunReport

RUNS_AT_MOST = 30
FEWEST = 2  # of one run there is nothing to compare
GAP_SHARE = 0.25  # of a column's place


@dataclass(frozen=True, slots=True)
class Column:
    """One run. All percentages are of the plot; `words` say which run it is, and its value."""

    words: str
    begin_percent: float
    width_percent: float
    height_percent: float
    tone: Tone


@dataclass(frozen=True, slots=True)
class ColumnPlot:
    """`last` is the value of the report's own run, `highest` that of the highest column; a run that
    has no such figure has no column."""

    key: str
    title: str
    last: str
    highest: str
    columns: tuple[Column, ...]

    @property
    def description(self) -> str:
        """What the plot shows, in words: for who hears the page."""
        return "; ".join(column.words for column in self.columns)


def failures_of(report: RunReport) -> int:
    """Objects that failed or were denied; what is no media is none of them."""
    counts = report.objects_by_status
    return counts.get(Status.FAILED, 0) + counts.get(Status.DENIED, 0)


def history_plots(reports: Sequence[RunReport]) -> tuple[ColumnPlot, ...]:
    """Of runs in their order, the report's own last; what too few of them have is left out."""
    plots = (
        _plot("dealt", "Objects that changed", reports, _dealt_with, _whole),
        _plot("failures", "Objects that failed or were denied", reports, failures_of, _whole,
              tone=Tone.BAD),
        _plot("rate", "Media-seconds a second", reports, _rate, lambda rate: f"{rate:,.1f}"),
        _plot("recall", "Recall of the index, its lowest vector", reports, _recall, _share,
              highest=1.0),
        _plot("found", "Labelled searches answered right", reports, _found, _share, highest=1.0),
        _plot("money", "Money", reports, _money, lambda money: f"{money:,.2f}"),
    )  # fmt: skip
    return tuple(plot for plot in plots if len(plot.columns) >= FEWEST)


def _plot(
    key: str,
    title: str,
    reports: Sequence[RunReport],
    value_of: Callable[[RunReport], float | None],
    shown: Callable[[float], str],
    *,
    tone: Tone = Tone.PLAIN,
    highest: float | None = None,
) -> ColumnPlot:
    values = [(report, value_of(report)) for report in reports]
    there = [value for _, value in values if value is not None]
    top = highest or max(there, default=0.0)
    place = 100 / max(1, len(values))
    columns = tuple(
        Column(
            f"{report.started_at}: {shown(value)}",
            number * place,
            place * (1 - GAP_SHARE),
            100 * value / top if top else 0.0,
            tone,
        )
        for number, (report, value) in enumerate(values)
        if value is not None
    )
    last = values[-1][1] if values else None
    return ColumnPlot(
        key, title, "none" if last is None else shown(last), shown(max(there, default=0.0)), columns
    )


def _dealt_with(report: RunReport) -> float:
    return report.objects - report.objects_by_status.get(Status.UNCHANGED, 0)


def _rate(report: RunReport) -> float | None:
    return report.media_seconds_per_second or None


def _recall(report: RunReport) -> float | None:
    vectors = report.recall.vectors if report.recall else ()
    return min((vector.share for vector in vectors), default=None)


def _found(report: RunReport) -> float | None:
    return report.search[0].share if report.search else None


def _money(report: RunReport) -> float | None:
    """Of reports that have it; a run without prices has none."""
    money: float | None = getattr(report, "money", None)
    return money


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.3f}"
