"""The flow `rebuild`: another collection from the embeddings that are kept, and the alias on it.
Thin: the steps are `pipeline.rebuild`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.artifacts import coded
from flows.away import if_prefect_answers
from flows.error_logging import in_one_sentence
from flows.index import given_fields
from flows.retries import tried_again
from pipeline import codec
from pipeline.index.collections import open_collections
from pipeline.rebuild.prepare import RebuildOptions, RebuildProgress
from pipeline.rebuild.rebuild import RebuildResult, rebuild
from pipeline.settings import Settings, SourceSettings, StateSettings, load_settings
from pipeline.settings_index import IndexSettings

REPORT_KEY = "rebuild-report"
WAIT_S = 3600.0


@flow(
    name="rebuild",
    description="Build another collection from Parquet, measure its recall, and flip the alias.",
)
def rebuild_flow(
    source: SourceSettings | None = None,
    index: IndexSettings | None = None,
    state: StateSettings | None = None,
    recall: float = 0.98,
    queries: int = 100,
    fresh: bool = False,
    allow_missing: bool = False,
    new_vectors: bool = False,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns what the rebuild did as plain JSON values. Stopped anywhere, the next one goes on.

    Args:
        source: Which bucket; its endpoint is the state's, where that lies in a bucket.
        index: The Qdrant collection, and what the new one is made with.
        state: Where the state and the embeddings are kept.
        recall: Recall@10 that the new collection must reach before readers are shown it.
        queries: Stored vectors to ask with, of each name.
        fresh: Delete what a stopped rebuild has made, and begin anew.
        allow_missing: Flip even if assets vanish for readers.
        new_vectors: Flip even if readers have to change encoders.
        settings_file: A sensedex.toml, where the worker runs. Its values hold for what is not set
            here.
    """
    given = given_fields(locals())
    say = get_run_logger().warning
    how = RebuildOptions(recall, queries, fresh, allow_missing, new_vectors, WAIT_S)

    def body() -> dict[str, Any]:
        settings = load_settings(settings_file, given)
        done = tried_again(lambda: _rebuilt(settings, how), say)
        with if_prefect_answers():
            create_markdown_artifact(
                rebuild_markdown(done), key=REPORT_KEY, description=f"{done.alias}: {done.shows}"
            )
        return dict(codec.to_json(done))

    return in_one_sentence(body)


def _rebuilt(settings: Settings, how: RebuildOptions) -> RebuildResult:
    logger = get_run_logger()
    phase = ""

    def tell(now: RebuildProgress) -> None:
        nonlocal phase
        if now.phase != phase:
            phase = now.phase
            logger.info(phase)

    with open_collections(settings.index) as collections:
        return rebuild(settings, how, collections, tell)


def rebuild_markdown(done: RebuildResult) -> str:
    """What was built, and how much of what is nearest it finds."""
    lines = [
        f"# {coded(done.alias)} shows {coded(done.shows)}",
        "",
        f"{done.assets:,} assets, {done.segments:,} segments, {done.points_loaded:,} loaded now, "
        f"{done.seconds:.0f} s.",
    ]
    if done.previous:
        lines += ["", f"{coded(done.previous)} is kept: `sensedex rebuild --rollback` shows it."]
    if done.left_out:
        lines += ["", f"{done.left_out:,} assets are left out: another encoder made their vectors."]
    if done.recalls:
        lines += ["", "| vector | queries | recall@10 |", "| --- | ---: | ---: |"]
        lines += [f"| {coded(r.vector_name)} | {r.queries} | {r.share:.3f} |" for r in done.recalls]
    return "\n".join(lines)
