"""Draws the table of metrics in docs/metrics.md.

python -m tests.metrics_docs    rewrites it from pipeline/metrics/table.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.metrics.table import METRICS, Metric

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics, by `python -m tests.metrics_docs` -->", "<!-- end of metrics -->"


def draw(metrics: Iterable[Metric]) -> str:
    """The metrics as a Markdown table."""
    lines = ["| metric | type | labels | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        cells = (f"`{metric.name}`", str(metric.type), labels, metric.unit, metric.meaning)
        lines.append(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|")
    return "\n".join(lines)


def with_metrics(document: str, drawn: str) -> str:
    """The document with the table between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawn}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_metrics(DOCUMENT.read_text(), draw(METRICS.values())))
