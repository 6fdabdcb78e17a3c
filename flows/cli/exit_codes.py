"""Exit statuses of `sensedex`; docs/cli.md has the same table."""

from __future__ import annotations

from enum import IntEnum

from encoders.errors import EncoderError
from pipeline.errors import SensedexError, SettingsError
from pipeline.report.record import RunReport


class Exit(IntEnum):
    """The exit statuses of `sensedex`."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    SOME_FAILED = 3
    PERMANENT = 4
    TRANSIENT = 5
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done; objects that are not media are rejected and do not count as failures",
    Exit.UNEXPECTED: "a defect of sensedex, or an example search of the demo that went wrong",
    Exit.USAGE: "a flag, a setting or weights are wrong; the message names the field",
    Exit.SOME_FAILED: "done, but some objects failed or were denied: `sensedex failures`; or the "
    "collection lacks segments, or `verify` found the index wrong",
    Exit.PERMANENT: "cannot work until a person changes something: bucket, credentials, collection",
    Exit.TRANSIENT: "may work later: a store or Qdrant out of reach, Ray or Prefect's server "
    "gone, another run at work; or "
    "`verify` found the bucket ahead of the index",
    Exit.INTERRUPTED: "stopped by Ctrl-C; what is committed is kept, run again",
}


def exit_for(error: SensedexError | EncoderError) -> Exit:
    """The exit status of an error: by its class, whether a retry helps."""
    if isinstance(error, (SettingsError, EncoderError)):
        return Exit.USAGE
    return Exit.TRANSIENT if error.retryable else Exit.PERMANENT


def status_of(done: RunReport) -> Exit:
    """Of a run that came to its end."""
    bad = done.objects_by_status.get("failed", 0) + done.objects_by_status.get("denied", 0)
    return Exit.SOME_FAILED if bad or done.segments_missing else Exit.OK
