"""`sensedex events`: makes searchable what a bucket's event notifications tell of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli import options as o
from flows.cli.exit_codes import Exit
from flows.cli.json_output import print_json
from flows.cli.log_format import told_of_events, with_log_format
from pipeline.errors import printable

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@o.with_settings
@with_log_format
def events(
    options: o.Options,
    drain: Annotated[
        bool, typer.Option("--drain", help="End when the queue has given nothing more.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End after one batch.")] = False,
    as_json: o.Json = False,
) -> None:
    """Make searchable what S3's event notifications tell of, until stopped."""
    if drain and once:
        raise typer.BadParameter("give --drain or --once")
    chosen = options.settings()
    from flows.log_redirect import quiet_logs
    from pipeline import codec
    from pipeline.run.event_loop import Until, run_events

    until = Until.EMPTY if drain else Until.ONE_BATCH if once else Until.STOPPED
    on_progress, on_event = told_of_events()
    screen = err if as_json else out

    def say(line: str) -> None:
        screen.print(escape(printable(line)), soft_wrap=True)

    if until is Until.STOPPED:
        say("Waiting for events; Ctrl-C ends it, and what is under way comes again.")
    with quiet_logs(Path(".sensedex/engines.log")):
        report = run_events(chosen, until, on_progress, on_event=on_event, say=say)
    if as_json:
        print_json(codec.to_json(report))
    else:
        say(
            f"{report.messages} messages in {report.batches} batches, {report.segments} segments; "
            f"{report.elsewhere} events of other buckets or prefixes, {report.unreadable} "
            f"messages left unread."
        )
    raise typer.Exit(Exit.SOME_FAILED if report.again else Exit.OK)
