"""The report's plots: one figure in, one SVG element out, to stand inside a page.

Colours work on a light and on a dark page; text stays text, so that it can be found and read out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.record import StageTime

GREY = "#8a8f98"
STATUS_COLOURS = {
    "indexed": "#2a9d6f",
    "partial": "#d9a441",
    "unchanged": "#9aa3ad",
    "rejected": "#d1495b",
    "failed": "#a4161a",
    "denied": "#b5838d",
    "archived": "#7d8597",
    "removed": "#8d6a9f",
    "moved": "#5b8fb9",
}
PHASE_COLOURS = ("#5b8fb9", "#8d6a9f", "#d9a441", "#2a9d6f", "#9aa3ad", "#b5838d", "#7d8597")
BAR_COLOUR = "#5b8fb9"
WIDTH_IN = 6.4


def bars(counts: Mapping[str, int], label: str) -> str:
    """Horizontal bars, the longest on top, each with its number."""
    rows = sorted(counts.items(), key=lambda item: item[1])
    figure, axes = _figure(0.45 * max(len(rows), 1) + 0.35)
    names = [name for name, _ in rows]
    colours = [STATUS_COLOURS.get(name, BAR_COLOUR) for name in names]
    drawn = axes.barh(names, [count for _, count in rows], color=colours, height=0.66)
    axes.bar_label(drawn, padding=4, color=GREY, fmt="{:,.0f}")
    axes.margins(x=0.12)
    axes.xaxis.set_visible(False)
    return _svg(figure, label)


def phases(seconds: Mapping[str, float], label: str) -> str:
    """One bar an interval, in the order in which they came, on one axis of time."""
    rows = [(name, s) for name, s in seconds.items() if s >= 0.0005]
    figure, axes = _figure(0.4 * max(len(rows), 1) + 0.6)
    begin = 0.0
    for number, (name, length) in enumerate(rows):
        colour = PHASE_COLOURS[number % len(PHASE_COLOURS)]
        axes.barh(name, length, left=begin, color=colour, height=0.66)
        axes.annotate(
            f"{length:.1f} s",
            (begin + length, name),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
        )
        begin += length
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds since the start", color=GREY)
    return _svg(figure, label)


def stages(rows: Sequence[StageTime], label: str) -> str:
    """Busy seconds a stage; the longest is the bottleneck, and each tells its rate."""
    figure, axes = _figure(0.45 * max(len(rows), 1) + 0.6)
    slowest = max((row.busy_seconds for row in rows), default=0.0)
    for row in rows:
        colour = "#d9a441" if row.busy_seconds == slowest else BAR_COLOUR
        axes.barh(row.name, row.busy_seconds, color=colour, height=0.66)
        axes.annotate(
            f"{row.busy_seconds:.1f} s, {row.items_per_second:,.0f} {row.unit}/s",
            (row.busy_seconds, row.name),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
        )
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set_xlabel("busy seconds, summed over workers", color=GREY)
    return _svg(figure, label)


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=GREY, length=0)
    return figure, axes


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # The size is the page's business; the shape is the viewBox's.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
