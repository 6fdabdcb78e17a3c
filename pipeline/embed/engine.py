"""Choose where the stages of a run are done: in this process, or by Ray.

Ray and its actors take ten seconds to start and memory to stay; a run of little is done by then. It
pays where there is enough to share out, and where a cluster is named it is what was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from pipeline.progress import ProgressReporter
from pipeline.settings import Settings
from pipeline.settings_embedding import EmbedSettings


class Engine(StrEnum):
    """`LOOP` does one window after the other in this process; `RAY` shares them out to actors."""

    LOOP = "loop"
    RAY = "ray"


def choose_engine(
    embed: EmbedSettings, objects: int, size_bytes: int, environment: Mapping[str, str]
) -> Engine:
    """For so much to embed. `embed.engine` wins; by `auto` a named cluster does, then the size."""
    if embed.engine != "auto":
        return Engine(embed.engine)
    much = objects >= embed.ray_from_objects or size_bytes >= embed.ray_from_mb * 2**20
    return Engine.RAY if much or environment.get("RAY_ADDRESS") else Engine.LOOP


@contextmanager
def engine_session(
    engine: Engine, settings: Settings, reporter: ProgressReporter
) -> Iterator[None]:
    """Ray's session, where Ray is what works. Raises RayUnavailable."""
    if engine is Engine.LOOP:
        yield
        reporter.record_phase("embed and load")
        return
    from pipeline.embed.ray_session import ray_session

    reporter.phase("starting Ray")
    with ray_session(settings):
        reporter.record_phase("start Ray")
        yield
        reporter.record_phase("embed and load")
    reporter.record_phase("stop Ray")


def engine_for(settings: Settings, objects: int, size_bytes: int) -> Engine:
    """The engine for so many objects and bytes, by the settings and RAY_ADDRESS."""
    return choose_engine(settings.embed, objects, size_bytes, os.environ)
