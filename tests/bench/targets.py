"""What figures of the benchmarks are asked to be, and which of them are missed by how much.

A row names its targets under `"targets"`; whose figure is none of a row's `value`, its `ratio` for
one, is told with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def at_most(bound: float, of: str = "value") -> dict[str, Any]:
    """For the figure `of` of a row."""
    return {"of": of, "is": "at most", "bound": bound}


def at_least(bound: float, of: str = "value") -> dict[str, Any]:
    """For the figure `of` of a row."""
    return {"of": of, "is": "at least", "bound": bound}


def missed_share(figure: float, target: Mapping[str, Any]) -> float:
    """By how much of its bound a figure misses its target; 0 where it does not."""
    bound = float(target["bound"])
    beyond = figure - bound if target["is"] == "at most" else bound - figure
    if not math.isfinite(figure):
        return math.inf
    return max(0.0, beyond / abs(bound))


def summary(benchmarks: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """How many targets are met, and a line for each that is missed, the farthest first."""
    met = 0
    lines: list[tuple[float, str]] = []
    for benchmark, rows in benchmarks.items():
        for row in rows:
            for target in row.get("targets", ()):
                figure = float(row[target["of"]])
                by = missed_share(figure, target)
                if by == 0:
                    met += 1
                    continue
                what = "" if target["of"] == "value" else f", {target['of']}"
                unit = f" {row['unit']}" if target["of"] == "value" else ""
                wanted = f"{target['is']} {target['bound']:g}{unit}"
                name = f"{benchmark}: {row['name']}{what}"
                lines.append((by, f"  {name:<76} {figure:>10.4g}  {wanted:<26} by {by:.0%}"))
    head = f"Targets: {met} met, {len(lines)} missed" + (":" if lines else ".")
    return "\n".join([head, *(line for _, line in sorted(lines, key=lambda one: -one[0]))])
