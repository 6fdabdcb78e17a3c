"""`sensedex sweep`: deletes embeddings that nothing refers to any more."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli import options as o
from flows.cli.json_output import print_json

if TYPE_CHECKING:
    from pipeline.rebuild.retention import SweepResult

out = Console(highlight=False)


@o.with_settings
def sweep(
    options: o.Options,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Delete from the state the embeddings of contents that have been replaced or removed."""
    from pipeline.rebuild.retention import sweep_state

    settings = options.settings()
    done = sweep_state(settings, dry_run=dry_run)
    if as_json:
        print_json(asdict(done))
    else:
        out.print(sentence(done, settings.state.superseded_hours), soft_wrap=True)


def sentence(done: SweepResult, hours: int) -> str:
    """What was done, in one line."""
    verb = "would be deleted" if done.dry_run else "deleted"
    files = "file" if done.deleted == 1 else "files"
    return (
        f"{done.deleted} {files} of embeddings {verb}, {done.needed} needed, {done.waiting} "
        f"waiting until they have been unneeded for {hours} h."
    )
