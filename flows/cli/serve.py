"""`sensedex serve`: the HTTP API and its page, until Ctrl-C."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options as o
from flows.cli.log_format import with_log_format
from flows.cli.versions import versions
from flows.json_lines import Level, json_lines, record_defect
from pipeline.errors import SettingsError, printable

if TYPE_CHECKING:
    from pipeline.serve.front import Asked
    from pipeline.settings import Settings

NEEDED = ("uvicorn", "python_multipart")
Demo = Annotated[bool, typer.Option("--demo", help="Serve what `sensedex demo` has indexed.")]
DemoFolder = Annotated[Path, typer.Option("--folder", help="Where the demo keeps its things.")]
DEMO_FOLDER = Path(".sensedex/demo")


@o.with_settings
@with_log_format
def serve(
    options: o.Options,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on (serve.host).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="The port; 0 for a free one (serve.port).")
    ] = None,
    demo: Demo = False,
    folder: DemoFolder = DEMO_FOLDER,
) -> None:
    """Serve searches over HTTP, and a page that plays the moments."""
    check_installed("sensedex serve", NEEDED)
    with served_settings(options, host, port, folder if demo else None) as settings:
        from pipeline.serve.server import serve as run_server

        collection = settings.index.collection

        def on_ready(address: str, _end: object) -> None:
            typer.echo(f"Collection {collection!r} is served on {address} (Ctrl-C ends it).")
            sys.stdout.flush()

        run_server(settings, versions()["sensedex"], on_ready, tell)


@contextmanager
def served_settings(
    options: o.Options, host: str | None, port: int | None, demo: Path | None
) -> Iterator[Settings]:
    """With --host and --port; of a demo, where its folder is given, whose bucket runs meanwhile."""
    given = {"serve__host": host, "serve__port": port}
    settings = options.settings(**{n: value for n, value in given.items() if value is not None})
    if demo is None:
        yield settings
        return
    from flows.cli.demo_again import demo_again

    with demo_again(demo, settings.serve) as of_demo:
        yield of_demo


def check_installed(command: str, needed: Sequence[str]) -> None:
    """Raises SettingsError where the extra is not installed."""
    missing = [name.replace("_", "-") for name in needed if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"`{command}` needs {' and '.join(missing)}, which this installation lacks.",
            remedy="Install them: pip install 'sensedex[serve]'.",
        )


def tell(asked: Asked) -> None:
    """A line of the access log on standard error. Neither keys nor queries are in it, since an
    address may be signed."""
    path = printable(asked.path)[:500]
    log = json_lines()
    if log is None:
        _tell_person(asked, path)
        return
    log.record(
        Level.ERROR if asked.status >= 500 or asked.error else Level.INFO,
        "request",
        request_id=asked.request_id, client=asked.client, method=asked.method, path=path,
        route=asked.route, status=asked.status, sent_bytes=asked.sent_bytes,
        ms=round(1000 * asked.seconds, 1), code=asked.code,
    )  # fmt: skip
    if asked.error is not None:
        record_defect(log, asked.error)


def _tell_person(asked: Asked, path: str) -> None:
    now = datetime.now().strftime("%H:%M:%S")
    code = f" {asked.code}" if asked.code else ""
    took = f"{1000 * asked.seconds:.0f} ms"
    line = f"{now} {asked.client} {asked.method} {path} {asked.status}{code} {took}\n"
    sys.stderr.write(line)
    if asked.error is not None:
        sys.stderr.write(f"request {asked.request_id}:\n")
        traceback.print_exception(asked.error, file=sys.stderr)
    sys.stderr.flush()
