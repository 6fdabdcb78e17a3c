"""The run report as one HTML file: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from encoders.precision import fall_back_lines
from pipeline.estimate.compare import compared, misjudged
from pipeline.report.history import history_plots
from pipeline.report.pace import pace_of
from pipeline.report.plots import plots_of
from pipeline.report.record import RunReport
from pipeline.served_recall import recall_sentences

TEMPLATES = Path(__file__).parent / "templates"


def report_html(report: RunReport, earlier: Sequence[RunReport] = ()) -> str:
    """Everything that came from the bucket is escaped, control characters are written out.
    `earlier` are the reports of the runs before, in their order."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"shown": _shown, "percent": _percent}
    return environment.get_template("report.html.j2").render(
        report=report,
        plots=plots_of(report),
        history=history_plots((*earlier, report)),
        runs=len(earlier) + 1,
        fall_backs=fall_back_lines(report.precisions),
        recall_sentences=recall_sentences(report.recall) if report.recall else (),
        pace=pace_of(report),
        expected=compared(report.estimate, report.actual) if report.estimate else (),
        misjudged=misjudged(report.estimate, report.actual) if report.estimate else "",
    )


def write_report_html(report: RunReport, path: Path, earlier: Sequence[RunReport] = ()) -> None:
    """Write the report as one page that needs no other file. Raises OSError."""
    path.write_text(report_html(report, earlier), encoding="utf-8")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _percent(share: float) -> str:
    """Of one in ten million there is still something to see."""
    return f"{share:.6f}".rstrip("0").rstrip(".") + "%"
