"""The flow `index`: makes the collection true to the bucket. Thin: the steps are `pipeline.run`'s.

Prefect sees plan, embed, one load a shard, sweep and state; never one task a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task
from pydantic import BaseModel, ConfigDict, Field

from flows.artifacts import ProgressArtifact, publish_plan, publish_report
from flows.error_logging import in_one_sentence
from pipeline import run as steps
from pipeline.errors import SensedexError, Transient
from pipeline.finish import keep_report, report_of
from pipeline.index_check import check_index
from pipeline.load import LoadReceipt
from pipeline.planning import Planned, RunOptions, plan
from pipeline.progress import OnProgress, ignore_progress
from pipeline.qdrant import VectorIndex
from pipeline.ray_session import ray_session
from pipeline.records import ShardReceipt
from pipeline.report import RunReport, SearchRecall
from pipeline.run import Run
from pipeline.scratch import scratch_folder
from pipeline.search_quality import measure_index
from pipeline.settings import (
    DecodeSettings,
    EncodeSettings,
    IndexSettings,
    SearchSettings,
    Settings,
    SourceSettings,
    StateSettings,
    TagSettings,
    load_settings,
)
from pipeline.watch import Watch
from pipeline.writing import writing

# A callback cannot be a flow's parameter; whoever runs the flow in this process sets it here.
on_progress_here: ContextVar[OnProgress] = ContextVar("on_progress_here", default=ignore_progress)
# And the flow leaves its report here: it counts, where Prefect can no longer be told of it.
report_here: ContextVar[list[dict[str, Any]]] = ContextVar("report_here")


class PrefectUnavailable(Transient):
    """Prefect's server was there, or was to be, and does not answer."""

    default_code = "prefect_unavailable"


class Options(BaseModel):
    """What a person may ask of one run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retry_failed: bool = Field(False, description="try again what was rejected or failed before")
    retry_keys: tuple[str, ...] = Field((), description="try these keys again")
    allow_removals: bool = Field(False, description="remove more than state.max_removed_share")
    allow_denied: bool = Field(False, description="go on past state.max_denied_share")
    allow_short_listing: bool = Field(False, description="go on with a listing that ended early")

    def for_run(self) -> RunOptions:
        return RunOptions(**self.model_dump())


def _worth_a_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """The error's class says whether a retry can help; a defect of ours is not tried again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SensedexError) and error.retryable


@task(
    name="plan",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_worth_a_retry,
)
def plan_task(settings: Settings, options: RunOptions, path: Path, watch: Watch) -> Planned:
    return plan(settings, options, path, watch)


@task(name="embed", cache_policy=NO_CACHE)
def embed_task(run: Run, planned: Planned, watch: Watch) -> Iterator[ShardReceipt]:
    yield from steps.embed(run, planned, watch)


@task(
    name="load",
    task_run_name="load-{number:05d}",
    cache_policy=NO_CACHE,
    retries=5,
    retry_delay_seconds=[1, 5, 20, 60, 120],
    retry_jitter_factor=0.3,
    retry_condition_fn=_worth_a_retry,
)
def load_task(
    run: Run,
    planned: Planned,
    index: VectorIndex,
    receipt: ShardReceipt,
    watch: Watch,
    number: int,  # noqa: ARG001  for the task run's name
) -> LoadReceipt:
    return steps.load(run, planned, index, receipt, watch)


@task(
    name="sweep",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_worth_a_retry,
)
def sweep_task(run: Run, planned: Planned, index: VectorIndex, watch: Watch) -> int:
    return steps.sweep(run, planned, index, watch)


@task(
    name="state",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_worth_a_retry,
)
def state_task(run: Run, planned: Planned, receipts: list[ShardReceipt]) -> int:
    """How many segments the state knows now."""
    return steps.commit(run, planned, receipts).totals.get("segments", 0)


@task(name="measure", cache_policy=NO_CACHE)
def measure_task(
    run: Run, planned: Planned, index: VectorIndex, watch: Watch
) -> tuple[SearchRecall, ...]:
    found = measure_index(run.settings, index, planned.cards)
    if found:
        watch.lap("measure search")
    return found


@flow(
    name="index",
    description="Make the Qdrant collection true to the bucket: plan, embed, load, sweep, state.",
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
)
def index_flow(
    source: SourceSettings | None = None,
    decode: DecodeSettings | None = None,
    encode: EncodeSettings | None = None,
    tags: TagSettings | None = None,
    index: IndexSettings | None = None,
    search: SearchSettings | None = None,
    state: StateSettings | None = None,
    options: Options | None = None,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns the run's report as plain JSON values.
    """
    parts: dict[str, BaseModel | None] = {
        "source": source,
        "decode": decode,
        "encode": encode,
        "tags": tags,
        "index": index,
        "search": search,
        "state": state,
    }
    asked = (options or Options()).for_run()
    return in_one_sentence(lambda: _run(load_settings(settings_file, given_fields(parts)), asked))


def _run(settings: Settings, asked: RunOptions) -> dict[str, Any]:
    watch = Watch(on_progress_here.get())
    with scratch_folder() as folder:
        planned = plan_task(settings, asked, folder / "plan.parquet", watch)
        check_index(settings, planned)
        publish_plan(planned)
        if planned.nothing_to_do:
            report = report_of(settings, planned, (), watch)
        else:
            after = planned.state.sequence
            run_id = steps.new_run_id()
            store = planned.state.store
            with writing(settings, store, run_id, after_sequence=after) as (lease, opened):
                report = _index(steps.start(settings, planned, lease), planned, opened, watch)
    publish_report(report)
    plain = report.to_json()
    report_here.get([]).append(plain)
    return plain


def _index(run: Run, planned: Planned, index: VectorIndex, watch: Watch) -> RunReport:
    """Everything that writes; the lease is held."""
    index.ensure_collection(run.spaces)
    receipts: list[ShardReceipt] = []
    loads: list[PrefectFuture[LoadReceipt]] = []

    def submit(receipt: ShardReceipt) -> None:
        loads.append(load_task.submit(run, planned, index, receipt, watch, len(loads)))
        receipts.append(receipt)

    for receipt in planned.recovered:
        submit(receipt)
    if planned.to_embed:
        watch.phase("starting Ray")
        with ray_session(run.settings), ProgressArtifact(watch):
            watch.lap("start Ray")
            for receipt in embed_task(run, planned, watch):
                submit(receipt)
            watch.phase("loading")
            for future in loads:
                future.result()
            watch.lap("embed and load")
        watch.lap("stop Ray")
    for future in loads:
        future.result()
    sweep_task(run, planned, index, watch)
    known = state_task(run, planned, receipts)
    watch.lap("write the state")
    search = measure_task(run, planned, index, watch)
    points = index.count()
    report = report_of(
        run.settings, planned, receipts, watch, run=run, points=points, known=known,
        search=search,
    )  # fmt: skip
    keep_report(run, report)
    get_run_logger().info("%d objects, %d segments", report.objects, report.segments)
    return report


def given_fields(parts: Mapping[str, BaseModel | None]) -> dict[str, Any]:
    """Only what was set by name: a default must not hide the environment or the file."""
    return {
        f"{name}.{field}": getattr(part, field)
        for name, part in parts.items()
        if part is not None
        for field in part.model_fields_set
    }


def run_index(settings: Settings, options: RunOptions, on_progress: OnProgress) -> RunReport:
    """Run the flow in this process, with whatever Prefect API is configured or an ephemeral one.

    A server that goes away costs what is shown of the run, and not a run that is done. Raises
    PrefectUnavailable where it could not be done for want of the server.
    """
    token = on_progress_here.set(on_progress)
    done: list[dict[str, Any]] = []
    done_token = report_here.set(done)
    try:
        report = index_flow(
            source=settings.source,
            decode=settings.decode,
            encode=settings.encode,
            tags=settings.tags,
            index=settings.index,
            search=settings.search,
            state=settings.state,
            options=Options(**asdict(options)),
        )
    except httpx.HTTPError as error:
        if not done:
            raise PrefectUnavailable(
                f"Prefect's server does not answer: {error}.",
                remedy="Check PREFECT_API_URL and that the server runs, then run again: what is "
                "committed is kept.",
            ) from error
        report = done[0]
    finally:
        report_here.reset(done_token)
        on_progress_here.reset(token)
    return RunReport.from_json(report)
