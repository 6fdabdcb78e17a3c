"""The flow `sweep`: deletes embeddings that nothing refers to any more. Thin: the work is
`pipeline.rebuild.retention`'s.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.away import if_prefect_answers
from flows.error_logging import in_one_sentence
from flows.index import given_fields
from flows.retries import tried_again
from pipeline.rebuild.retention import SweepResult, sweep_state
from pipeline.settings import SourceSettings, StateSettings, load_settings

REPORT_KEY = "sweep-report"


@flow(
    name="sweep",
    description="Delete from the state the embeddings of contents that were replaced or removed.",
)
def sweep_flow(
    source: SourceSettings | None = None,
    state: StateSettings | None = None,
    dry_run: bool = False,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns the counts as plain JSON values. A run at work is waited for.

    Args:
        source: Which bucket; its endpoint is the state's, where that lies in a bucket.
        state: Where the state is kept, and how long what is superseded stays.
        dry_run: Say what would be deleted, and delete nothing.
        settings_file: A sensedex.toml, where the worker runs. Its values hold for what is not set
            here.
    """
    given = given_fields(locals())
    say = get_run_logger().warning

    def body() -> dict[str, Any]:
        settings = load_settings(settings_file, given)
        done = tried_again(lambda: sweep_state(settings, dry_run=dry_run), say)
        with if_prefect_answers():
            create_markdown_artifact(
                sweep_markdown(done), key=REPORT_KEY, description=f"{done.deleted} files deleted"
            )
        return asdict(done)

    return in_one_sentence(body)


def sweep_markdown(done: SweepResult) -> str:
    """The counts as Markdown."""
    title = "What would be deleted" if done.dry_run else "Embeddings that nothing refers to"
    rows = {"deleted": done.deleted, "waiting": done.waiting, "needed": done.needed}
    return "\n".join(
        [f"# {title}", "", "| files | count |", "| --- | ---: |"]
        + [f"| {name} | {count} |" for name, count in rows.items()]
    )
