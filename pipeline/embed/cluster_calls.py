"""Calls of a function on the nodes of a Ray cluster, several at once, each by a thread that waits.

For what must not be lost and may be done twice: a call whose node or process dies raises an error
that a retry can help, and the retry goes to another node. What no node can do is done in the
caller's own process.

Import it as late as Ray itself (`pipeline.embed.ray_start` says why).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar, cast

import ray
import ray.exceptions

from pipeline.embed.cluster import nodes_that_work, pinned_to
from pipeline.embed.ray_session import RayDied, head_answers, while_ray_lives
from pipeline.errors import Permanent, SensedexError, Transient

T = TypeVar("T")
A = TypeVar("A")


class CallLost(Transient):
    """A node or a process of the cluster died in the middle of a call."""

    default_code = "call_lost"


class CallsEnded(CallLost):
    """The run has ended, and waits for no call any more."""

    retryable = False
    default_code = "calls_ended"


class ClusterCalls:
    """What `cluster_calls` gives. May be shared by threads."""

    def __init__(self, at_once: int) -> None:
        self._room = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._running: set[Any] = set()
        self._ended = False
        self._ray_is_gone = False

    def call(self, function: Callable[[A], T], asked: A, here: Callable[[], T]) -> T:
        """What `function(asked)` gives on one of the nodes: of those on which the fewest calls
        failed, the one with the fewest under way. `here` is called instead where there is no node,
        and where a node lacks what a person has to give it: then this process says what is wrong.

        Raises what the function raises, CallLost and RayDied; CallsEnded after the end.
        """
        with self._room:
            node = self._taken()
            if node is None:
                return here()
            try:
                return self._on(node, function, asked)
            except Permanent:
                self._failed[node] += 1
            except (SensedexError, ray.exceptions.RayError):
                self._failed[node] += 1
                raise
            finally:
                with self._lock:
                    self._busy[node] -= 1
            return here()

    def end(self) -> None:
        """Give up what is under way: whoever waits for it gets CallsEnded."""
        self._ended = True
        with self._lock:
            running = list(self._running)
        for ref in running if not self._ray_is_gone else ():
            ray.cancel(ref, force=True)

    def _taken(self) -> str | None:
        if self._ended:
            raise CallsEnded("The run has ended.")
        if self._ray_is_gone:  # whoever asks its head would wait until Ray ends this process
            return None
        if not head_answers():
            raise CallLost("The head of the Ray cluster does not answer.")
        nodes = [node.node_id for node in nodes_that_work()]
        with self._lock:
            chosen = min(nodes, key=lambda n: (self._failed[n], self._busy[n]), default=None)
            if chosen is not None:
                self._busy[chosen] += 1
        return chosen

    def _on(self, node: str, function: Callable[[A], T], asked: A) -> T:
        # Neither CPUs, which decoders and encoders have, nor Ray's own retries, which would stay
        # with the node.
        task = ray.remote(num_cpus=0, max_retries=0)(function)
        ref = task.options(scheduling_strategy=pinned_to(node)).remote(asked)
        with self._lock:
            self._running.add(ref)
        try:
            with closing(cast("Any", while_ray_lives(_answer_of(ref)))) as answers:
                return cast("T", next(answers))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SensedexError):
                raise error.cause from error
            raise
        except RayDied:
            self._ray_is_gone = True
            raise
        except ray.exceptions.RayError as error:
            if self._ended:
                raise CallsEnded("The run has ended.") from error
            raise CallLost(
                f"A node or a process of the cluster was lost in the middle of a call "
                f"({type(error).__name__}).",
                remedy="It is tried again; committed shards are kept.",
            ) from error
        finally:
            with self._lock:
                self._running.discard(ref)


@contextmanager
def cluster_calls(at_once: int) -> Iterator[ClusterCalls]:
    """On the current session, which must outlive it: at its end nothing is under way any more."""
    calls = ClusterCalls(at_once)
    try:
        yield calls
    finally:
        calls.end()


def _answer_of(ref: Any) -> Iterator[Any]:
    yield ray.get(ref)
