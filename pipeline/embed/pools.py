"""Sizes of a graph's pools of actors, by the cluster as it is; and its end where that shrinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from pipeline.embed.engine import usable_cores
from pipeline.embed.rounds import GraphBroken
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.embed.progress_actor import ProgressBoard

LOOK_EVERY_S = 2.0
# So long an actor may be without a node before the graph is begun anew with fewer of them.
STRANDED_S = 10.0
ROOM_WITHIN_S = 600.0
# Without a GPU. Not measured on many cores: of video, decoding takes the most; and every encoder
# holds its weights.
CPUS_PER_ENCODER = 4
# One writer takes what some six of the largest GPUs give (docs/performance.md); CPUs give it a
# hundredth of that.
GPUS_PER_WRITER = 4


@dataclass(frozen=True, slots=True)
class Pools:
    """The actors of a graph. `cpus_each` is less than one where not even two fit; `writers` are
    on the driver's node."""

    decoders: int
    encoders: int
    on_gpu: bool
    cpus_each: float = 1.0
    writers: int = 1


def pools_for(settings: Settings) -> Pools:
    """As many as the settings ask for, and no more than there is room for on the current cluster:
    Ray would wait for ever for a node that is gone."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    encode = settings.encode
    on_gpu = encode.device.startswith("cuda") or (encode.device == "auto" and gpus > 0)
    return fitting(
        settings.decode.processes,
        encode.processes,
        cpus=resources.get("CPU", 0.0),
        gpus=gpus if on_gpu else None,
        writer_cores=usable_cores(),
    )


def fitting(
    decoders: int, encoders: int, *, cpus: float, gpus: int | None, writer_cores: int = 1
) -> Pools:
    """`gpus` is None where encoders take a CPU each. 0 is for as many as there is room for.
    `writer_cores` are the driver's node's, where the writers are."""
    encoders = encoders or (gpus if gpus is not None else max(1, int(cpus) // CPUS_PER_ENCODER))
    decoders = decoders or max(1, int(cpus) - (0 if gpus is not None else encoders))
    if gpus is not None:
        each = 1.0 if cpus >= 1 else max(cpus, 0.01)
        decoders = max(1, min(decoders, int(cpus)))
        encoders = max(1, min(encoders, gpus))
        writers = max(1, min(-(-encoders // GPUS_PER_WRITER), writer_cores))
        return Pools(decoders, encoders, True, each, writers)
    if cpus >= decoders + encoders:
        return Pools(decoders, encoders, False)
    if cpus < 2:
        return Pools(1, 1, False, max(cpus, 0.02) / 2)
    encoders = min(encoders, max(1, int(cpus) // 2))
    return Pools(max(1, min(decoders, int(cpus) - encoders)), encoders, False)


def wait_for_room(settings: Settings, say: Callable[[str], None]) -> None:
    """Until a node is there that can work: spot machines come back after minutes. Raises
    GraphBroken where none does."""
    needs_gpu = settings.encode.device.startswith("cuda")
    until = time.monotonic() + ROOM_WITHIN_S
    said = False
    while True:
        resources = ray.cluster_resources()
        if resources.get("CPU", 0) > 0 and (not needs_gpu or resources.get("GPU", 0) > 0):
            return
        if time.monotonic() > until:
            raise GraphBroken(
                "The Ray cluster has no node left that can work.",
                remedy="Start workers, then run again: committed shards are kept.",
            )
        if not said:
            said = True
            say("waiting for a node of the Ray cluster")
        time.sleep(LOOK_EVERY_S)


class StrandedActors:
    """Ends a graph of which an actor has lost its node and finds no other: Ray would wait for one
    that has the room, with all that the actor had been given."""

    def __init__(self, board: ProgressBoard) -> None:
        self._board = board
        self._next = 0.0
        self._since: float | None = None
        self._ended = False

    def look(self) -> None:
        now = time.monotonic()
        if self._ended or now < self._next:
            return
        self._next = now + LOOK_EVERY_S
        if not self._board.stranded():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= STRANDED_S:
            self._ended = True
            self._board.end_graph()
