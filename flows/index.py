"""The flow `index`: a whole run of `pipeline.run.whole_run`, whose steps Prefect sees as tasks.

Prefect sees plan, embed, one load a shard, sweep and state; never one task a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.flows import Flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel

from flows.artifacts import ProgressArtifact, publish_plan, publish_report
from flows.away import server_may_go_away
from flows.error_logging import in_one_sentence
from flows.own_server import own_server
from flows.prefect_server import UNREACHABLE, went_away
from flows.retries import tried_again
from flows.slots import run_outlives_its_slot
from flows.tasks import TaskRunner
from pipeline import codec
from pipeline.progress import OnProgress, ignore_progress
from pipeline.report.record import RunReport
from pipeline.run.step_runner import LOAD_THREADS
from pipeline.run.whole_run import run_index
from pipeline.run_events import OnEvent, ignore_event
from pipeline.run_options import RunOptions
from pipeline.settings import SearchSettings, Settings, SourceSettings, StateSettings, load_settings
from pipeline.settings_embedding import DecodeSettings, EmbedSettings, EncodeSettings, TagSettings
from pipeline.settings_events import EventSettings
from pipeline.settings_index import IndexSettings
from pipeline.settings_metrics import MetricsSettings
from pipeline.settings_prices import PriceSettings


@flow(
    name="index",
    description="Make the Qdrant collection true to the bucket: plan, embed, load, sweep, state.",
    task_runner=ThreadPoolTaskRunner(max_workers=LOAD_THREADS),  # type: ignore[arg-type]
)
def index_flow(
    source: SourceSettings | None = None,
    decode: DecodeSettings | None = None,
    encode: EncodeSettings | None = None,
    embed: EmbedSettings | None = None,
    tags: TagSettings | None = None,
    index: IndexSettings | None = None,
    search: SearchSettings | None = None,
    state: StateSettings | None = None,
    events: EventSettings | None = None,
    prices: PriceSettings | None = None,
    metrics: MetricsSettings | None = None,
    options: RunOptions | None = None,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns the run's report as plain JSON values.

    Args:
        source: Which bucket, and which of its objects.
        decode: How time is cut into windows, and the limits for hostile media.
        encode: Which encoders, with which weights, on what device.
        embed: Whether this process does the work, or Ray.
        tags: Words that every window is compared with.
        index: The Qdrant collection.
        search: Labelled searches by which the run measures itself.
        state: Where the state is kept, the size of a shard, and how much may be removed.
        events: The queue of the flow `index-events`; a whole run asks none.
        prices: What machines and requests cost, for the money in the report.
        metrics: Where metrics and traces of the run go.
        options: What this one run may do beyond a usual one.
        settings_file: A sensedex.toml, where the worker runs. Its values hold for what is not set
            here.
    """
    given = given_fields(locals())
    asked = options or RunOptions()
    say = get_run_logger().warning

    def body() -> dict[str, Any]:
        settings = load_settings(settings_file, given)
        with run_outlives_its_slot(say):
            report = tried_again(lambda: _run(settings, asked, patient=True), say)
        return codec.to_json(report)

    return in_one_sentence(body)


def run_in_flow(
    settings: Settings,
    options: RunOptions,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent = ignore_event,
) -> RunReport:
    """The same flow in this process, with whatever Prefect API is configured or an ephemeral one.

    A server that goes away costs what is shown of the run, and not a run that is done. Raises
    PrefectUnavailable where it could not be done for want of the server, and as `run_index` does.
    """
    done: list[RunReport] = []

    def index(settings: dict[str, Any], options: RunOptions) -> int:  # noqa: ARG001  for Prefect's page
        def body() -> int:
            done.append(_run(chosen, options, on_progress, on_event, patient=False))
            return len(done)

        return in_one_sentence(body, on_screen=False)  # the state that Prefect is to show

    chosen = settings
    in_this_process = Flow(
        index,
        name=index_flow.name,
        description=index_flow.description,
        task_runner=index_flow.task_runner,
    )
    try:
        with own_server():
            in_this_process(settings.model_dump(mode="json"), options)
    except httpx.HTTPError as error:
        if not done:
            raise went_away(error) from error
    except RuntimeError as error:
        if not str(error).startswith(UNREACHABLE):
            raise
        raise went_away(error) from error
    return done[0]


def _run(
    settings: Settings,
    options: RunOptions,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent = ignore_event,
    *,
    patient: bool,
) -> RunReport:
    """`patient`: a nightly run waits for a bucket that is away for a moment; a person who looks on
    is told of it."""
    runner = TaskRunner(patient=patient)
    with server_may_go_away(get_run_logger().warning):
        with ProgressArtifact(on_progress) as see:
            report = run_index(
                settings, options, see, on_plan=publish_plan, on_event=on_event, runner=runner
            )
        publish_report(report)
    get_run_logger().info("%d objects, %d segments", report.objects, report.segments)
    return report


def given_fields(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Of a flow's parameters, the settings: of each part only what was set by name. A default must
    not hide the environment or the file."""
    parts: dict[str, BaseModel] = {
        name: part for name in Settings.model_fields if (part := parameters.get(name)) is not None
    }
    return {
        f"{name}.{field}": getattr(part, field)
        for name, part in parts.items()
        for field in part.model_fields_set
    }
