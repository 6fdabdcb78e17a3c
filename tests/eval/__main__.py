"""`make eval`: how well sensedex-mini retrieves. A table, JSON and a plot under build/eval/.

With --write the table and the plot in docs/ are made anew. Needs Debian's tuxpaint-stamps-default.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from encoders.bind.recall import Recall
from encoders.errors import EncoderError
from encoders.loading import load_encoder
from encoders.mini.stamps import STAMPS, read_stamps
from tests.eval.figures import Figure, World, all_figures
from tests.eval.plot import plot

PARTS = {
    "a": "Pictures in forms never seen, and captions",
    "b": "Recorded sounds, and pictures of what makes them",
    "c": "Sounds and captions, never trained as a pair",
    "d": "Captions said otherwise",
    "e": "The searches of the paper",
    "f": "Pictures held out whole",
}
START, END = "<!-- figures: made by `make eval ARGS=--write` -->", "<!-- end of figures -->"
PARAPHRASES = Path("infra/eval/paraphrases.tsv")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stamps", type=Path, default=STAMPS)
    parser.add_argument("--encoder", default="sensedex-mini")
    parser.add_argument("--weights", type=Path, help="others than those in the package")
    parser.add_argument("--out", type=Path, default=Path("build/eval"))
    parser.add_argument("--write", action="store_true", help="docs/retrieval.md and its plot, too")
    options = parser.parse_args()
    wide = None if sys.stdout.isatty() else 130
    console = Console(highlight=False, width=wide)
    try:
        stamps = read_stamps(options.stamps)
        encoder = load_encoder(options.encoder, options.weights, precision="fp32")
    except EncoderError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        world = World(encoder, stamps, Path(folder))
        with console.status("embedding") as status:
            figures = list(all_figures(world, PARAPHRASES, lambda line: status.update(line)))
    console.print(_shown(figures))
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    document = {"weights": encoder.card.weights_digest, "figures": rows}
    (options.out / "retrieval.json").write_text(json.dumps(document, indent=1))
    plot(figures, PARTS, options.out / "retrieval.svg")
    console.print(f"JSON and a plot: {options.out}")
    if options.write:
        page = Path("docs/retrieval.md")
        before, rest = page.read_text(encoding="utf-8").split(START)
        after = rest.split(END)[1]
        page.write_text(f"{before}{START}\n\n{_markdown(figures)}\n{END}{after}", encoding="utf-8")
        plot(figures, PARTS, Path("docs/retrieval.svg"))
    missed = [figure for figure in figures if not figure.reached]
    for figure in missed:
        console.print(f"[yellow]under what was asked for: {figure.query} -> {figure.answer}")
    return bool(missed)


def _shown(figures: Sequence[Figure]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("", "query", "answer", "queries", "@1", "@5", "@10", "95 % of @5", "chance @5"):
        left = column in ("", "query", "answer")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for figure in figures:
        one, five, ten = figure.recalls
        table.add_row(
            figure.part,
            figure.query,
            figure.answer,
            str(five.queries),
            *(f"{r.share:.3f}" for r in (one, five, ten)),
            f"{five.low:.3f} to {five.high:.3f}",
            f"{five.chance:.3f}",
        )
    return table


def _markdown(figures: Sequence[Figure]) -> str:
    lines = []
    for part, title in PARTS.items():
        lines += [
            f"### ({part}) {title}",
            "",
            "| query | answer | queries | recall@1 | recall@5 | recall@10 | asked for |",
            "| --- | --- | ---: | --- | --- | --- | --- |",
        ]
        for figure in figures:
            if figure.part == part:
                wanted = ", ".join(f"@{k} {share:.2f}" for k, share in figure.wanted.items())
                cells = [figure.query, figure.answer, str(figure.recalls[0].queries)]
                cells += [_cell(r) for r in figure.recalls]
                lines.append(f"| {' | '.join(cells)} | {wanted} |")
        lines.append("")
    return "\n".join(lines)


def _cell(recall: Recall) -> str:
    return f"{recall.share:.3f} ({recall.low:.2f}–{recall.high:.2f}; {recall.chance:.3f})"


if __name__ == "__main__":
    sys.exit(main())
