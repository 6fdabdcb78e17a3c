"""The flow `reconcile`: proves the index against bucket, state and Parquet; repairs it if asked.
Thin: the steps are `pipeline.verify`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.artifacts import coded
from flows.error_logging import in_one_sentence
from flows.index import given_fields, run_in_flow
from pipeline.errors import IndexUnavailable, Permanent, StoreUnavailable
from pipeline.progress import ProgressReporter
from pipeline.served_recall import recall_sentences
from pipeline.settings import Settings, SourceSettings, StateSettings, load_settings
from pipeline.settings_embedding import DecodeSettings, EncodeSettings, TagSettings
from pipeline.settings_index import IndexSettings
from pipeline.verify.audit import RECALL_QUERIES, SAMPLE_SEGMENTS, AuditOptions, verify
from pipeline.verify.findings import VERDICTS, Verdict, VerifyReport
from pipeline.verify.repair import Round, repair_round, rounds_of

REPORT_KEY = "reconcile-report"


class IndexWrong(Permanent):
    """The index is not what its last run says it is."""

    default_code = "index_wrong"


def _out_of_reach(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """A store or Qdrant may be back in a moment; a run at work takes longer than that."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (StoreUnavailable, IndexUnavailable))


@task(
    name="verify",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_out_of_reach,
)
def verify_task(settings: Settings, options: AuditOptions) -> VerifyReport:
    """Verify, as a Prefect task."""
    return verify(settings, options, ProgressReporter())


@task(
    name="repair",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_out_of_reach,
)
def repair_task(settings: Settings, options: AuditOptions) -> Round:
    """One round of repair, as a Prefect task."""
    return repair_round(settings, options, ProgressReporter())


@flow(
    name="reconcile",
    description="Prove that bucket, state, Parquet and Qdrant agree; with `repair`, mend them.",
)
def reconcile_flow(
    source: SourceSettings | None = None,
    decode: DecodeSettings | None = None,
    encode: EncodeSettings | None = None,
    tags: TagSettings | None = None,
    index: IndexSettings | None = None,
    state: StateSettings | None = None,
    repair: bool = False,
    sample: int = SAMPLE_SEGMENTS,
    seed: int | None = None,
    examples: int = 10,
    recall_queries: int = RECALL_QUERIES,
    fail_if_wrong: bool = True,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns the rounds as plain JSON values; the last one's report is how it stands. Raises
    IndexWrong where the index is wrong at the end, unless `fail_if_wrong` is false.

    Args:
        source: Which bucket, and which of its objects.
        decode: How time is cut into windows, and the limits for hostile media.
        encode: Which encoders, with which weights, on what device.
        tags: Words that every window is compared with.
        index: The Qdrant collection.
        state: Where the state is kept.
        repair: Mend what is found to be wrong.
        sample: How many segments have their vectors compared.
        seed: Of the sample; empty for another one each time.
        examples: How many examples of each finding the report has.
        recall_queries: With how many stored vectors of each name a server is asked, for the
            recall of its index; 0 for no figures.
        fail_if_wrong: Whether the run fails where the index is wrong at the end.
        settings_file: A sensedex.toml, where the worker runs. Its values hold for what is not set
            here.
    """
    given = given_fields(locals())
    return in_one_sentence(
        lambda: _reconcile(
            load_settings(settings_file, given),
            AuditOptions(sample, seed, examples, recall_queries),
            repair=repair,
            fail_if_wrong=fail_if_wrong,
        )
    )


def _reconcile(
    settings: Settings, options: AuditOptions, *, repair: bool, fail_if_wrong: bool
) -> dict[str, Any]:
    if repair:
        rounds = tuple(
            rounds_of(
                lambda: repair_task(settings, options),
                lambda asked: run_in_flow(settings, asked),
            )
        )
    else:
        rounds = (Round(verify_task(settings, options)),)
    last = rounds[-1].report
    create_markdown_artifact(
        verify_markdown(last), key=REPORT_KEY, description=f"{last.collection}: {last.verdict}"
    )
    get_run_logger().info("%s: %d names found", last.verdict, len(last.findings))
    if fail_if_wrong and last.verdict is Verdict.DISAGREE:
        names = ", ".join(row.name for row in last.findings)
        raise IndexWrong(
            f"Collection {last.collection!r} is not what its state says: {names}.",
            remedy="`sensedex verify --repair`, or this flow with repair=true, repairs it.",
        )
    return {"rounds": [done.to_json() for done in rounds]}


def verify_markdown(report: VerifyReport) -> str:
    """The report as Markdown. Keys are hostile: they stand in code spans."""
    lines = [
        f"# {VERDICTS[report.verdict]}",
        "",
        f"Bucket `{report.bucket}`, state of run `{report.run_id or 'none'}`, collection "
        f"`{report.collection}`, {report.wall_seconds:.1f} s.",
    ]
    if report.writer is not None:
        lines.append(f"\nAt work: {coded(report.writer)}.")
    if report.findings:
        lines += [
            "",
            "| found | objects | points | what | such as |",
            "| --- | ---: | ---: | --- | --- |",
        ]
    for row in report.findings:
        example = row.examples[0] if row.examples else None
        such_as = coded(example.key or example.detail) if example else ""
        lines.append(
            f"| {row.name} | {row.objects} | {row.points} | {row.meaning.says} | {such_as} |"
        )
    if report.recall is not None:
        lines += ["", *map(coded, recall_sentences(report.recall))]
    return "\n".join(lines)
