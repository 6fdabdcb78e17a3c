"""The commands that look at what earlier runs left: status, failures, report, clean."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.local_files import writing_to

OutFile = Annotated[Path, typer.Option("--out", help="The file to write.")]


@o.with_settings
def status(
    options: o.Options,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the run that is at work until it ends.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Say what the state knows: objects by status, the last run, the one at work."""
    from flows.cli.render import render_status
    from flows.cli.running import follow, render_running
    from pipeline.report.read import read_running_run, read_status

    settings = options.settings()
    if watch:
        follow(_out(), lambda: read_running_run(settings), as_json=as_json)
        return
    found = read_status(settings)
    if as_json:
        print_json(asdict(found))
        return
    _out().print(render_status(found))
    for run in (found.running, found.running_events):
        if run is not None:
            _out().print()
            _out().print(render_running(run))


@o.with_settings
def failures(
    options: o.Options,
    as_json: o.Json = False,
) -> None:
    """List the objects that did not get in: key, code, remedy."""
    from flows.cli.render import render_failures
    from pipeline.report.read import read_failures

    rows = list(read_failures(options.settings()))
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        _out().print(render_failures(rows) if rows else "None.")


@o.with_settings
def report(
    options: o.Options,
    run_id: Annotated[str | None, typer.Option("--run", help="A run; the last one else.")] = None,
    target: OutFile = Path("sensedex-report.html"),
    as_json: o.Json = False,
) -> None:
    """Write a run's report as one HTML file with plots."""
    from pipeline import codec
    from pipeline.report.html import write_report_html
    from pipeline.report.read import read_earlier, read_report

    settings = options.settings()
    found = read_report(settings, run_id)
    if as_json:
        print_json(codec.to_json(found))
        return
    with writing_to(target):
        write_report_html(found, target, read_earlier(settings, found))
    _out().print(f"Wrote {target}.")


def clean(
    folder: Annotated[Path, typer.Option(help="What to remove.")] = Path(".sensedex"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the local folder: states, collections, the demo. Shows it first, and asks."""
    from flows.cli.clean import clean_folder

    clean_folder(_out(), folder, yes=yes)


def _out() -> Console:
    return Console(highlight=False)
