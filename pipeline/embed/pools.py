"""Sizes of a graph's pools of actors, by the cluster as it is; and its end where that shrinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import ray

from pipeline.embed.engine import usable_cores
from pipeline.embed.pool_sizes import USUAL_DECODE_SHARE, Pools, encoders_per_gpu, fitting
from pipeline.embed.rounds import GraphBroken
from pipeline.models.weights import weights_bytes
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.embed.progress_actor import ProgressBoard

LOOK_EVERY_S = 2.0
# So long an actor may be without a node before the graph is begun anew with fewer of them.
STRANDED_S = 10.0
ROOM_WITHIN_S = 600.0


def pools_for(settings: Settings, share: float = USUAL_DECODE_SHARE) -> Pools:
    """As many as balance the stages, no more than the settings ask for, and no more than there is
    room for on the current cluster: Ray would wait for ever for a node that is gone. `share` is
    decoding's part of the work."""
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
        share=share,
        per_gpu=encoders_per_gpu(weights_bytes(encode)),
    )


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
