"""Prints an error that has a name: at most four lines on stderr, no traceback.

    sensedex: There is no bucket 'films' (S3 says NoSuchBucket).
      Check source.bucket, and source.endpoint_url or source.region.
      [bucket_not_found, exit 4]

Messages may hold what a stranger chose (a key, a server's answer): nothing in them is markup, makes
a line of its own or steers the terminal.
"""

from __future__ import annotations

import sys
import traceback

from rich.console import Console
from rich.text import Text

from encoders.errors import EncoderError
from flows.cli.exit_codes import Exit, exit_for
from flows.debugging import debugging
from flows.json_lines import Level, json_lines
from pipeline.errors import SensedexError, printable
from pipeline.without_secrets import without_secrets

# What a server or an engine says can be a page; its first words say what it is about.
MAX_MESSAGE_CHARACTERS = 500


def print_error(console: Console, error: SensedexError | EncoderError) -> Exit:
    """Print the error, under `--debug` with its traceback before it, and say the exit status. With
    `--log-format json` it is one object."""
    status = exit_for(error)
    # What caused it is another library's, which may have repeated a URL.
    trace = without_secrets("".join(traceback.format_exception(error))) if debugging() else ""
    if (log := json_lines()) is not None:
        facts = {"code": error.code, "remedy": error.remedy, "trace": trace}
        log.record(Level.ERROR, error.message, exit=status, **facts)
        return status
    sys.stderr.write(trace)
    _print(console, error.message, error.remedy, error.code, status)
    return status


def print_usage_error(console: Console, message: str) -> Exit:
    """For what the command line's parser refuses: an unknown command, a flag without its value."""
    remedy = "`sensedex --help` lists what there is."
    if (log := json_lines()) is not None:
        log.record(Level.ERROR, message, code="usage", remedy=remedy, exit=Exit.USAGE)
        return Exit.USAGE
    _print(console, message, remedy, "usage", Exit.USAGE)
    return Exit.USAGE


def _print(console: Console, message: str, remedy: str, code: str, status: Exit) -> None:
    lines = [Text.assemble(("sensedex:", "bold red"), " ", one_line(message))]
    if remedy:
        lines.append(Text(f"  {one_line(remedy)}"))
    lines.append(Text(f"  [{code}, exit {status.value}]", style="dim"))
    for line in lines:
        console.print(line, soft_wrap=True)


def one_line(text: str) -> str:
    """Line breaks become spaces, other control characters are written out, a page is cut."""
    line = without_secrets(printable(" ".join(text.split())))
    if len(line) <= MAX_MESSAGE_CHARACTERS:
        return line
    return line[: MAX_MESSAGE_CHARACTERS - 4] + " ..."
