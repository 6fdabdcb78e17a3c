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
from typing import Annotated

import typer
from rich.console import Console

from encoders.errors import EncoderError
from flows.cli import options as o
from flows.cli import status as status_commands
from flows.cli.bind import bind
from flows.cli.calibrate import calibrate
from flows.cli.deploy import deploy
from flows.cli.error_output import print_error, print_usage_error
from flows.cli.evaluate import evaluate
from flows.cli.events import events
from flows.cli.exit_codes import MEANINGS, Exit
from flows.cli.interrupts import heeding_interrupts
from flows.cli.json_output import print_json
from flows.cli.localise import localise
from flows.cli.log_format import logged_as_asked, with_log_format
from flows.cli.mcp import mcp
from flows.cli.rebuild import rebuild
from flows.cli.renamed_options import with_new_names
from flows.cli.run import retry, run
from flows.cli.search import search
from flows.cli.serve import serve
from flows.cli.size import size_command
from flows.cli.sweep import sweep
from flows.cli.verify import verify
from flows.cli.versions import print_versions
from flows.cli.weights import app as weights_app
from flows.debugging import DEBUG_VARIABLE
from pipeline.embed.ray_session import exit_with
from pipeline.errors import SensedexError
from pipeline.garbage import look_for_garbage_seldom

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
app.command()(calibrate)
app.command()(deploy)
app.command()(evaluate)
app.command()(events)
app.command()(localise)
app.command()(mcp)
app.command()(search)
app.command()(serve)
app.command()(verify)
app.command()(rebuild)
app.command()(sweep)
app.command("size")(size_command)
app.command()(status_commands.status)
app.command()(status_commands.failures)
app.command()(status_commands.report)
app.command()(status_commands.clean)


def main() -> None:
    """The entry point: errors that are meant for a person become a message and a status."""
    # Threads of torch that wait do not spin. Beside any other work a sentence was encoded in 5 ms
    # so, and in 15 to 100 otherwise (docs/performance.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    look_for_garbage_seldom()
    with logged_as_asked(sys.argv[1:]), heeding_interrupts() as interrupted:
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
        words = with_new_names(_debug_first(sys.argv[1:]))
        return app(words, standalone_mode=False) or Exit.OK
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
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=print_versions,
            help="Print the versions of what works together.",
        ),
    ] = False,
) -> None:
    del version
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
    from flows.cli.doctor import examine, render_findings
    from flows.cli.finding import Verdict

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
@with_log_format
def plan(
    options: o.Options,
    retry_failed: o.RetryFailed = False,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Embed some of the objects for a minute, to measure them."),
    ] = False,
    cores: Annotated[
        int | None, typer.Option("--cores", min=1, help="CPU cores that the run will have.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=0, help="GPUs that the run will have.")
    ] = None,
    limit: Limit = 30,
    as_json: o.Json = False,
) -> None:
    """Say what a run would do to which object, why, and what it will take. Writes nothing but what
    --probe has measured."""
    chosen = options.settings()
    from flows.cli.plan import Wanted, show_plan
    from pipeline.estimate.estimate import Machines

    def say(what: str) -> None:
        err.print(f"[dim]{what}[/dim]")

    wanted = Wanted(probe, Machines(cores, gpus), say)
    show_plan(out, chosen, retry_failed=retry_failed, limit=limit, as_json=as_json, wanted=wanted)


app.command()(run)
app.command()(retry)


if __name__ == "__main__":
    main()
