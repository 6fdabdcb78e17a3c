"""One Ray session a process: an existing cluster where one is named, else a private one.

What a session is started with, and why Ray is imported as late as it is, says
`pipeline.embed.ray_start`.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NoReturn, TypeVar

from pipeline.embed.ray_processes import (
    dead_processes,
    kill_marked_children,
    own_sigterm,
    wait_for_death,
)
from pipeline.embed.ray_start import RayUnavailable, joins_cluster, prepare_environment, start_ray
from pipeline.errors import Transient
from pipeline.first_contact import why_silent
from pipeline.settings import Settings

T = TypeVar("T")
LOOK_EVERY_S = 0.5
HEAD_ASKED_TIMES = 4
DEATH_WITHIN_S = 1.0
DRAWING_ENDS_WITHIN_S = 3.0
DRAWING_THREAD = "sensedex-graph"
_abandoned = threading.Event()


class RayDied(Transient):
    """A process of the private session is gone, and with it the whole session."""

    default_code = "ray_died"


@contextmanager
def ray_session(settings: Settings) -> Iterator[Mapping[str, float]]:
    """Gives the cluster's resources. A session that is already there is used and left running.

    Raises RayUnavailable: no cluster, no private session, or this process's own was abandoned.
    """
    prepare_environment()
    import ray

    if _abandoned.is_set():
        raise RayUnavailable(
            "The Ray session of this process was ended in the middle of its work.",
            remedy="Start a new process: Ray begins one such session in each.",
        )
    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    start_ray(settings)
    try:
        yield ray.cluster_resources()
    except Exception:
        raise
    except BaseException:
        # Told to end. A signal to the whole group, as Prefect's worker sends it, has told Ray's
        # processes too, and they go at once.
        wait_for_death(DEATH_WITHIN_S)
        raise
    finally:
        # A thread that still draws calls Ray after its shutdown: that, too, ends the process.
        if dead_processes() or not _drawing_ended():
            _abandon()
        if not _abandoned.is_set():
            with own_sigterm():
                ray.shutdown()
        kill_marked_children()


def while_ray_lives(items: Iterable[T], look: Callable[[], None] = lambda: None) -> Iterator[T]:
    """The items, which come out of the current session; what they raise is raised here. `look` is
    called now and then while none comes; what it raises ends the wait.

    Raises RayDied where a process of a private session dies, or a cluster's head no longer answers.
    Without this, whoever waits for the next item waits until Ray ends this process, some ten
    seconds later and without a word.
    """
    head = _Head()
    drawn: queue.Queue[tuple[str, T | None, BaseException | None]] = queue.Queue(maxsize=1)
    done = threading.Event()

    def put(kind: str, item: T | None = None, error: BaseException | None = None) -> None:
        while not done.is_set():
            with suppress(queue.Full):
                drawn.put((kind, item, error), timeout=LOOK_EVERY_S)
                return

    def draw() -> None:
        try:
            for item in items:
                put("item", item)
                if done.is_set():
                    return
            put("end")
        except BaseException as error:  # noqa: BLE001  raised where the items are wanted
            put("error", error=error)

    threading.Thread(target=draw, daemon=True, name=DRAWING_THREAD).start()
    try:
        while True:
            try:
                kind, item, error = drawn.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                if dead := dead_processes():
                    _abandon()
                    raise RayDied(
                        f"Ray's {' and '.join(dead)} died.",
                        remedy="Run again: committed shards are kept. Where memory ran out, the "
                        "system's log says so: lower decode.processes or encode.batch_size.",
                    ) from None
                if why := head.why_lost():
                    _abandon()
                    raise RayDied(
                        f"The head of the Ray cluster no longer answers ({why}).",
                        remedy="Start the cluster again and run again: committed shards are kept.",
                    ) from None
                if head.answers:  # whoever else asks it would wait until Ray ends this process
                    look()
                continue
            if error is not None:
                raise error
            if kind == "end":
                return
            yield item  # type: ignore[misc]  # an item, by its kind
    finally:
        done.set()


def head_answers() -> bool:
    """Whether the head of a cluster that was joined takes a connection now."""
    head = _Head()
    head.why_lost()
    return head.answers


class _Head:
    """Of the cluster that was joined; of a private session the processes themselves are looked at.
    `answers` is of the moment of the last call."""

    def __init__(self) -> None:
        self.answers = True
        self._address = ""
        self._silent = 0
        if joins_cluster():
            import ray

            self._address = ray.get_runtime_context().gcs_address

    def why_lost(self) -> str:
        """Why it is taken for dead: it has not answered several times in a row."""
        if not self._address:
            return ""
        why = why_silent(self._address)
        self.answers = not why
        self._silent = self._silent + 1 if why else 0
        return why if self._silent >= HEAD_ASKED_TIMES else ""


def _abandon() -> None:
    """End what is left of the session, but for its part in this process: a call of Ray's own that
    comes after its shutdown ends the process, with a status of Ray's."""
    from ray._private import worker

    _abandoned.set()
    if worker._global_node is not None:
        worker._global_node.kill_all_processes(check_alive=False)
    kill_marked_children()


def leaves_at_once() -> bool:
    """Whether `exit_with` ends this process without the handlers at exit: its session was
    abandoned. What others would stop in such a handler is to be stopped before."""
    return _abandoned.is_set()


def exit_with(status: int) -> NoReturn:
    """As `sys.exit`, and with that status even where the session was abandoned."""
    if leaves_at_once():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _drawing_ended() -> bool:
    """Whether nothing draws from the session any more; waits a little for what it drew last."""
    until = time.monotonic() + DRAWING_ENDS_WITHIN_S
    for thread in threading.enumerate():
        if thread.name == DRAWING_THREAD:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                return False
    return True
