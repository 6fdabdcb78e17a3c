"""The commands `run` and `retry`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli import options as o
from flows.cli.exit_codes import status_of
from flows.cli.json_output import print_json
from flows.cli.log_format import told_progress, with_log_format
from pipeline.run_options import RunOptions

if TYPE_CHECKING:
    from pipeline.settings import Settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@o.with_settings
@with_log_format
@o.with_run_options
def run(
    options: o.Options,
    run_options: RunOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as plan.")] = False,
    flow: o.InPrefect = None,
    as_json: o.Json = False,
) -> None:
    """Make the collection true to the bucket."""
    chosen = options.settings()
    if dry_run:
        from flows.cli.plan import show_plan

        show_plan(out, chosen, retry_failed=run_options.retry_failed, limit=30, as_json=as_json)
        return
    _run(chosen, run_options, as_json, flow)


@o.with_settings
@with_log_format
def retry(
    options: o.Options,
    keys: Annotated[list[str] | None, typer.Argument(help="Keys to try again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    as_json: o.Json = False,
) -> None:
    """Run again for objects that were rejected or failed: some keys, or all of them."""
    if not keys and not everything:
        raise typer.BadParameter("name keys, or give --all")
    chosen = options.settings()
    # Asking again for what was denied is no surprise when it is denied again.
    wanted = RunOptions(retry_failed=everything, retry_keys=tuple(keys or ()), allow_denied=True)
    _run(chosen, wanted, as_json)


def _run(chosen: Settings, options: RunOptions, as_json: bool, flow: bool | None = None) -> None:
    from flows.cli.render import licence_note, meaning_note, render_report
    from flows.log_redirect import quiet_logs
    from flows.prefect_server import first_contact
    from pipeline.run.preflight import check_settings

    cards = check_settings(chosen)  # before anything takes its seconds to start
    screen = err if as_json else out
    screen.print(licence_note(cards))
    server = os.environ.get("PREFECT_API_URL")
    in_prefect = server is not None if flow is None else flow
    if in_prefect:
        first_contact(server)
        where = f"at {server}" if server else "with a server of its own (about 15 s to start)"
        screen.print(f"[dim]The flow `index`, seen in Prefect {where}.[/dim]")
    with (
        quiet_logs(Path(".sensedex/engines.log")),
        told_progress(screen) as (on_progress, on_event),
    ):
        if in_prefect:
            from flows.index import run_in_flow

            done = run_in_flow(chosen, options, on_progress, on_event)
        else:
            from pipeline.run.whole_run import run_index

            done = run_index(chosen, options, on_progress, on_event=on_event)
    if as_json:
        from pipeline import codec

        print_json(codec.to_json(done))
    else:
        out.print(render_report(done))
        out.print(meaning_note(done.encoder, done.meaningful))
    raise typer.Exit(status_of(done))
