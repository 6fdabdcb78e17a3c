"""`sensedex evaluate`: whether searches find what a labelled list says they should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli import options as o
from flows.cli.json_output import print_json

out = Console(highlight=False)


@o.with_settings
def evaluate(
    options: o.Options,
    queries: Annotated[Path, typer.Argument(help="JSON lines: query, modality, expected.")],
    using: Annotated[str, typer.Option(help="Vectors to search, with commas.")] = "",
    as_json: o.Json = False,
) -> None:
    """Recall of assets and of moments over a labelled list of queries, with intervals."""
    from pipeline.search.evaluate import measure
    from pipeline.search.labelled import read_queries
    from pipeline.search.searcher import open_searcher

    settings = options.settings()
    labelled = read_queries(queries, tuple(name for name in using.split(",") if name))
    with open_searcher(settings) as searcher:
        quality = measure(searcher.search, labelled, window_ms=settings.decode.window_ms)
    if as_json:
        print_json(
            {
                "recalls": [share.to_json() for share in quality.shares],
                "missed": [query.query for query in quality.missed],
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", "recall", "95 %", "queries"):
        table.add_column(column, justify="left" if not column else "right")
    for share in quality.shares:
        table.add_row(
            f"{share.what}@{share.k}",
            f"{share.share:.2f}",
            f"{share.low:.2f} to {share.high:.2f}",
            f"{share.found}/{share.queries}",
        )
    out.print(table)
    for query in quality.missed:
        out.print(f"missed: {query.query} ({query.modality})", markup=False)
