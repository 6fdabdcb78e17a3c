"""An error of ours for each that Ray ends a graph with: the one that a stage raised on purpose,
which no second try can help, or a broken graph, which the next round may mend."""

from __future__ import annotations

import ray

from encoders.errors import EncoderError
from pipeline.embed.rounds import GraphBroken, StageNotStarted
from pipeline.errors import SensedexError

_OF_ITS_START = "creation task"


def graph_error(error: BaseException) -> SensedexError | EncoderError:
    """What to raise in its place."""
    own = _own_error(error)
    if own is not None:
        return own
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    remedy = "Run again: committed shards are kept. Ray's own log has the details."
    if _OF_ITS_START in lines[0]:  # a traceback: the reason stands at its end
        return StageNotStarted(f"A stage cannot be started: {lines[-1]}", remedy=remedy)
    return GraphBroken(f"Ray stopped the graph: {lines[0]}", remedy=remedy)


def _own_error(error: BaseException) -> SensedexError | EncoderError | None:
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        # Ray's RayTaskError takes on the class of what the task raised, but none of its fields.
        if not isinstance(one, ray.exceptions.RayTaskError):
            if isinstance(one, EncoderError):
                return one
            if isinstance(one, SensedexError) and not one.retryable:
                return one
        waiting += [one.__cause__, getattr(one, "cause", None)]
    return None
