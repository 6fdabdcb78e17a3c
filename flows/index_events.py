"""The flow `index-events`: what S3's event notifications have told of, made searchable.

Thin: `pipeline.run.event_loop` does the work. It ends when the queue has given nothing more; its
deployment runs every minute, and one that comes while one is at work is dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from flows.away import server_may_go_away
from flows.error_logging import in_one_sentence
from flows.index import given_fields
from flows.slots import run_outlives_its_slot
from pipeline import codec
from pipeline.errors import LeaseHeld
from pipeline.run.event_loop import EventsReport, Until, run_events
from pipeline.settings import Settings, SourceSettings, StateSettings, load_settings
from pipeline.settings_embedding import DecodeSettings, EncodeSettings, TagSettings
from pipeline.settings_events import EventSettings
from pipeline.settings_index import IndexSettings
from pipeline.settings_metrics import MetricsSettings


@flow(
    name="index-events",
    description="Make searchable what the bucket's event notifications tell of, until the queue "
    "is empty.",
)
def events_flow(
    source: SourceSettings | None = None,
    decode: DecodeSettings | None = None,
    encode: EncodeSettings | None = None,
    tags: TagSettings | None = None,
    index: IndexSettings | None = None,
    state: StateSettings | None = None,
    events: EventSettings | None = None,
    metrics: MetricsSettings | None = None,
    settings_file: Path | None = None,
) -> dict[str, Any]:
    """Fields that are given here win over the environment and the settings file.

    Returns sums over the batches as plain JSON values; of nothing where another event run is at
    work, or a run has the index's folder. An error leaves its batch in the queue: the next run, a
    minute later, is the retry.

    Args:
        source: Which bucket, and which of its objects.
        decode: How time is cut into windows, and the limits for hostile media.
        encode: Which encoders, with which weights, on what device.
        tags: Words that every window is compared with.
        index: The Qdrant collection.
        state: Where the state is kept.
        events: Which queue, and how many events make a batch.
        metrics: Where the metrics of this flow's runs go.
        settings_file: A sensedex.toml, where the worker runs. Its values hold for what is not set
            here.
    """
    given = given_fields(locals())
    return in_one_sentence(lambda: _serve(load_settings(settings_file, given)))


def _serve(settings: Settings) -> dict[str, Any]:
    logger = get_run_logger()
    with server_may_go_away(logger.warning), run_outlives_its_slot(logger.warning):
        try:
            report = run_events(settings, Until.EMPTY, say=logger.info)
        except LeaseHeld as error:
            if not error.retryable:
                raise
            logger.info(str(error))  # nothing was received: the next run finds it all
            report = EventsReport()
    return codec.to_json(report)
