"""Choose where the stages of a run are done: in this process, or by Ray.

Ray and its actors take ten seconds to start and memory to stay; a run of little is done by then. It
pays where there is enough to share out and enough to share it with: two cores are kept busy without
it, and are quicker so at any size (docs/performance.md). Where a cluster is named it is what was
asked for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.progress import ProgressReporter
from pipeline.settings import Settings
from pipeline.settings_embedding import EmbedSettings

_GPU_DEVICES = (Path("/dev/nvidia0"), Path("/dev/kfd"))  # to ask torch would be to import it
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may work with."""

    cores: int
    has_gpu: bool = False


class Engine(StrEnum):
    """`LOOP` does one window after the other in this process; `RAY` shares them out to actors."""

    LOOP = "loop"
    RAY = "ray"


def choose_engine(
    embed: EmbedSettings,
    objects: int,
    size_bytes: int,
    environment: Mapping[str, str],
    machine: Machine,
) -> Engine:
    """For so much to embed. `embed.engine` wins; by `auto` a named cluster does, then the size and
    what this machine has."""
    if embed.engine != "auto":
        return Engine(embed.engine)
    if environment.get("RAY_ADDRESS"):
        return Engine.RAY
    much = objects >= embed.ray_from_objects or size_bytes >= embed.ray_from_mb * 2**20
    pays = machine.has_gpu or machine.cores >= embed.ray_from_cores
    return Engine.RAY if much and pays else Engine.LOOP


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
    machine = Machine(usable_cores(), any(device.exists() for device in _GPU_DEVICES))
    return choose_engine(settings.embed, objects, size_bytes, os.environ, machine)


def usable_cores(quota_file: Path = _QUOTA_FILE) -> int:
    """Those that it may run on (taskset), and no more than its container's share of time allows;
    at least one."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):  # not a container's, or an older kernel's
        return allowed
    if quota == "max":
        return allowed
    return max(1, min(allowed, math.ceil(int(quota) / int(period))))
