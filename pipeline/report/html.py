"""The run report as one HTML file: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from encoders.precision import fall_back_lines
from pipeline.report.plots import bars, phases, stages
from pipeline.report.record import RunReport

TEMPLATES = Path(__file__).parent / "templates"


def report_html(report: RunReport) -> str:
    """Everything that came from the bucket is escaped, control characters are written out."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["shown"] = _shown
    by_status = {str(name): count for name, count in report.objects_by_status.items()}
    plots = {
        "status": Markup(bars(by_status, "objects by status")) if by_status else None,
        "modality": Markup(bars(dict(report.segments_by_modality), "segments by modality"))
        if report.segments_by_modality
        else None,
        "phases": Markup(phases(report.seconds_by_phase, "where the time went"))
        if report.seconds_by_phase
        else None,
        "stages": Markup(stages(report.stages, "stages")) if report.stages else None,
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        plots=plots,
        by_status=by_status,
        fall_backs=fall_back_lines(report.precisions),
    )


def write_report_html(report: RunReport, path: Path) -> None:
    path.write_text(report_html(report), encoding="utf-8")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
