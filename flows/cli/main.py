"""The command `sensedex`. Each command is a few lines over `pipeline` and `flows`; what is heavy
is imported inside them, so that `--help` is quick.

A documented error ends the command with a message, a remedy and an exit status of `exit_codes`;
with `--debug`, before or after the command's name, with a traceback, too.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from encoders.errors import EncoderError
from flows.cli import lookups
from flows.cli import options as o
from flows.cli.bind import bind
from flows.cli.deploy import deploy
from flows.cli.error_output import DEBUG_VARIABLE, print_error, print_usage_error
from flows.cli.evaluate import evaluate
from flows.cli.exit_codes import MEANINGS, Exit, status_of
from flows.cli.facts import print_json
from flows.cli.interrupts import heeding_interrupts
from flows.cli.localise import localise
from flows.cli.rebuild import rebuild
from flows.cli.search import search
from flows.cli.verify import verify
from flows.cli.weights import app as weights_app
from pipeline.errors import SensedexError
from pipeline.ray_session import exit_with

if TYPE_CHECKING:
    from pipeline.planning import RunOptions
    from pipeline.settings import Settings

EPILOG = "Exit status: " + "; ".join(f"{code.value} {text}" for code, text in MEANINGS.items())
app = typer.Typer(
    name="sensedex",
    help="Makes a bucket of media searchable across the senses.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show.")]


app.add_typer(weights_app, name="weights")
app.command()(bind)
app.command()(deploy)
app.command()(evaluate)
app.command()(localise)
app.command()(search)
app.command()(verify)
app.command()(rebuild)
app.command()(lookups.status)
app.command()(lookups.failures)
app.command()(lookups.report)
app.command()(lookups.clean)


def main() -> None:
    """The entry point: errors that are meant for a person become a message and a status."""
    with heeding_interrupts() as interrupted:
        try:
            status = _invoke()
        except BaseException:
            if not interrupted.asked:
                raise
            status = Exit.INTERRUPTED
        if interrupted.asked:
            err.print("Stopped. What is committed is kept; run again to go on.")
            status = Exit.INTERRUPTED
        exit_with(status)


def _invoke() -> int:
    try:
        # What `typer.Exit` carries is returned here, not raised.
        return app(_debug_first(sys.argv[1:]), standalone_mode=False) or Exit.OK
    except typer.Abort:
        return Exit.INTERRUPTED
    except (SensedexError, EncoderError) as error:
        return print_error(err, error)
    except typer.TyperException as error:
        return print_usage_error(err, error.format_message())


def _debug_first(words: list[str]) -> list[str]:
    """A person who has just seen an error adds `--debug` at the end of the line."""
    before_dashes = words.index("--") if "--" in words else len(words)
    if "--debug" not in words[:before_dashes]:
        return words
    words.remove("--debug")
    return ["--debug", *words]


@app.callback()
def _before_any_command(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Print the traceback of an error, too (SENSEDEX_DEBUG=1)."),
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"  # what this process starts heeds it as well


@app.command()
def demo(
    weights: o.Weights = None,
    encoder: o.EncoderName = None,
    media: Annotated[Path | None, typer.Option(help="A folder of your own media.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its things.")] = Path(
        ".sensedex/demo"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier runs first.")] = False,
) -> None:
    """Index a bucket of real media on this machine, and search it."""
    from flows.cli.demo import demo as run_demo

    status = run_demo(
        out, folder=folder, media=media, weights=weights, encoder=encoder, fresh=fresh
    )
    raise typer.Exit(status)


@app.command()
@o.with_settings
def doctor(
    options: o.Options,
    as_json: o.Json = False,
) -> None:
    """Look at everything that a run needs."""
    from flows.cli.doctor import Verdict, examine, render_findings

    findings = list(examine(options.settings()))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        out.print(render_findings(findings))
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    raise typer.Exit(Exit.PERMANENT if failed else Exit.OK)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = o.DEFAULT_FILE,
    bucket: o.Bucket = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
) -> None:
    """Write a settings file that explains every field."""
    from flows.cli.init import write_settings

    write_settings(path, bucket or "", force=force)
    out.print(f"Wrote {path}. Next: name your bucket in it, then `sensedex doctor`.")


@app.command()
@o.with_settings
def plan(
    options: o.Options,
    retry_failed: o.RetryFailed = False,
    limit: Limit = 30,
    as_json: o.Json = False,
) -> None:
    """Say what a run would do to which object, and why. Writes nothing."""
    chosen = options.settings()
    from flows.cli.plan import show_plan

    show_plan(out, chosen, retry_failed=retry_failed, limit=limit, as_json=as_json)


@app.command()
@o.with_settings
def run(
    options: o.Options,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as plan.")] = False,
    retry_failed: o.RetryFailed = False,
    allow_removals: o.AllowRemovals = False,
    allow_denied: o.AllowDenied = False,
    allow_short_listing: o.AllowShortListing = False,
    flow: o.InPrefect = None,
    as_json: o.Json = False,
) -> None:
    """Make the collection true to the bucket."""
    chosen = options.settings()
    if dry_run:
        from flows.cli.plan import show_plan

        show_plan(out, chosen, retry_failed=retry_failed, limit=30, as_json=as_json)
        return
    from pipeline.planning import RunOptions

    allowed = RunOptions(retry_failed, (), allow_removals, allow_denied, allow_short_listing)
    _run(chosen, allowed, as_json, flow)


@app.command()
@o.with_settings
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
    from pipeline.planning import RunOptions

    # Asking again for what was denied is no surprise when it is denied again.
    _run(chosen, RunOptions(everything, tuple(keys or ()), allow_denied=True), as_json)


def _run(chosen: Settings, options: RunOptions, as_json: bool, flow: bool | None = None) -> None:
    from flows.cli.console import licence_note, meaning_note, render_report
    from flows.cli.live import live_progress
    from flows.prefect_server import first_contact
    from flows.quiet import quiet_logs
    from pipeline.planning import check_settings

    cards = check_settings(chosen)  # before anything takes its seconds to start
    screen = err if as_json else out
    screen.print(licence_note(cards))
    server = os.environ.get("PREFECT_API_URL")
    in_prefect = server is not None if flow is None else flow
    if in_prefect:
        first_contact(server)
        where = f"at {server}" if server else "with a server of its own (about 15 s to start)"
        screen.print(f"[dim]The flow `index`, seen in Prefect {where}.[/dim]")
    with quiet_logs(Path(".sensedex/engines.log")), live_progress(screen) as on_progress:
        if in_prefect:
            from flows.index import run_in_flow

            done = run_in_flow(chosen, options, on_progress)
        else:
            from pipeline.whole_run import run_index

            done = run_index(chosen, options, on_progress)
    if as_json:
        print_json(done.to_json())
    else:
        out.print(render_report(done))
        out.print(meaning_note(done.encoder, done.meaningful))
    raise typer.Exit(status_of(done))


if __name__ == "__main__":
    main()
