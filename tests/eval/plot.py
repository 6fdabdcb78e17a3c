"""The figures as one can see them: recall at 5, its interval, chance, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure as Canvas

from tests.eval.figures import Figure

ROW_INCHES = 0.27
K = 5


def plot(figures: Sequence[Figure], parts: Mapping[str, str], path: Path) -> None:
    """An SVG, a row a figure, in the order of the parts."""
    rows: list[Figure | str] = []
    for part, title in parts.items():
        mine = [figure for figure in figures if figure.part == part]
        rows += [f"({part}) {title}", *mine] if mine else []
    canvas = Canvas(figsize=(9, 1 + ROW_INCHES * len(rows)), layout="constrained")
    axes = canvas.subplots()
    labels = []
    for y, row in enumerate(rows):
        if isinstance(row, str):
            labels.append("")
            axes.text(0, y, row, fontweight="bold", va="center", fontsize=9)
            continue
        recall = next(r for r in row.recalls if r.k == K)
        labels.append(f"{row.query} → {row.answer}")
        axes.hlines(y, recall.low, recall.high, color="#2a6f97", linewidth=5, alpha=0.35)
        axes.plot(recall.share, y, "o", color="#2a6f97", markersize=5)
        axes.plot(recall.chance, y, "|", color="#999999", markersize=9, markeredgewidth=2)
        if K in row.wanted:
            axes.plot(row.wanted[K], y, "|", color="#d1495b", markersize=12, markeredgewidth=2)
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel("recall at 5: its 95 % interval; grey: chance; red: asked for")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    canvas.savefig(path, metadata={"Date": None})
