"""The nodes of a Ray cluster, and a function called on each of them.

Import it as late as Ray itself (`pipeline.embed.ray_start` says why).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

T = TypeVar("T")
A = TypeVar("A")
WITHIN_S = 60.0
NODE_LABEL = "ray.io/node-id"  # Ray gives every node this label


@dataclass(frozen=True, slots=True)
class Node:
    """`name` is what an operator calls it, and the beginning of the id that Ray's tools show."""

    node_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`result` is None where `error` says in a line why there is none; `began_s` and `ended_s` are
    this machine's clock, in seconds since 1970, before the call and when its answer was there."""

    node: Node
    result: Any
    error: str
    began_s: float
    ended_s: float


def nodes_that_work() -> list[Node]:
    """The living nodes with a CPU or a GPU to give: only there do decoders and encoders run."""
    found = []
    for facts in ray.nodes():
        resources = facts["Resources"]
        if facts["Alive"] and (resources.get("CPU", 0) > 0 or resources.get("GPU", 0) > 0):
            found.append(Node(facts["NodeID"], _name(facts)))
    return sorted(found, key=lambda node: node.name)


def living_nodes() -> frozenset[str]:
    """The ids of all that are alive."""
    return frozenset(facts["NodeID"] for facts in ray.nodes() if facts["Alive"])


def pinned_to(node_id: str) -> NodeAffinitySchedulingStrategy:
    """For a task or an actor that runs there or nowhere."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def own_node() -> str:
    """The id of the node that this process is on; with Ray's client, of the one that it asks."""
    found: str = ray.get_runtime_context().get_node_id()
    return found


def call_on_each(
    nodes: Sequence[Node], function: Callable[[A], T], asked: A, *, within_s: float = WITHIN_S
) -> Iterator[Answer]:
    """The answers as they come; of a node that gives none in that time, one that says so. A node
    that is lost meanwhile has no part in what follows, and is left out."""
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    began_s = time.time()
    pending = {
        task.options(scheduling_strategy=pinned_to(node.node_id)).remote(asked): node
        for node in nodes
    }
    until = time.monotonic() + within_s
    while pending:
        ready, _ = ray.wait(list(pending), timeout=max(0.0, until - time.monotonic()))
        ended_s = time.time()
        if not ready:
            break
        node = pending.pop(ready[0])
        try:
            yield Answer(node, ray.get(ready[0]), "", began_s, ended_s)
        except ray.exceptions.TaskUnschedulableError:
            continue  # it was gone before it could be asked
        except ray.exceptions.RayError as error:
            if node.node_id not in living_nodes():
                continue
            yield Answer(node, None, _last_line(error), began_s, ended_s)
    for ref, node in pending.items():
        ray.cancel(ref, force=True)
        yield Answer(node, None, f"no answer within {within_s:g} s", began_s, time.time())


def _name(facts: dict[str, Any]) -> str:
    address, named = facts["NodeManagerAddress"], facts.get("NodeName") or ""
    host = named if named and named != address else facts["NodeManagerHostname"]
    return f"{host} ({address}, {facts['NodeID'][:8]})"


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
