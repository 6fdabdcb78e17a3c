"""`sensedex mcp`: the search as tools of an agent, over standard input and output, or over HTTP."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options as o
from flows.cli.log_format import with_log_format
from flows.cli.serve import (
    DEMO_FOLDER,
    Demo,
    DemoFolder,
    check_installed,
    served_settings,
    tell,
)
from flows.cli.versions import versions
from flows.json_lines import Level, json_lines, record_defect
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.serve.mcp.server import Called

NEEDED = ("mcp", "uvicorn", "python_multipart")


@o.with_settings
@with_log_format
def mcp(
    options: o.Options,
    http: Annotated[
        bool, typer.Option("--http", help="Listen, with the keys of `sensedex serve`.")
    ] = False,
    host: Annotated[
        str | None, typer.Option("--host", help="With --http, the address (serve.host).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="With --http, the port; 0 for a free one.")
    ] = None,
    demo: Demo = False,
    folder: DemoFolder = DEMO_FOLDER,
) -> None:
    """Serve searches to agents, by the Model Context Protocol."""
    check_installed("sensedex mcp", NEEDED)
    if not http and (host is not None or port is not None):
        raise SettingsError(
            "--host and --port are of --http; without it, the client is at standard input.",
            remedy="Add --http, or leave them out.",
        )
    with served_settings(options, host, port, folder if demo else None) as settings:
        from pipeline.serve.mcp.transports import PATH, serve_http, serve_stdio

        collection, version = settings.index.collection, versions()["sensedex"]
        if http:
            serve_http(
                settings,
                version,
                lambda address, _end: _say(
                    f"Collection {collection!r} is served to agents on {address}{PATH} "
                    "(Ctrl-C ends it)."
                ),
                tell,
                tell_called,
            )
            return
        serve_stdio(
            settings,
            version,
            lambda: _say(f"Collection {collection!r} is served to the client at standard input."),
            tell_called,
        )


def _say(sentence: str) -> None:
    """On standard error: standard output is the protocol's."""
    typer.echo(sentence, err=True)


def tell_called(called: Called) -> None:
    """A line of the log on standard error, without what was asked."""
    ms = round(1000 * called.seconds, 1)
    log = json_lines()
    if log is None:
        sys.stderr.write(f"{called.tool} {called.code or 'ok'} {ms:.0f} ms\n")
        if called.error is not None:
            traceback.print_exception(called.error, file=sys.stderr)
        sys.stderr.flush()
        return
    level = Level.INFO if called.error is None else Level.ERROR
    log.record(level, "tool", tool=called.tool, code=called.code, ms=ms)
    if called.error is not None:
        record_defect(log, called.error)
