"""One Ray session a process: an existing cluster where one is named, else a private one.

The private one listens on loopback alone, has no dashboard and no job server, wants a token from
whoever talks to it, and ends with this process.

Ray reads its authentication mode once, when it is imported. So it is imported here, late, after
`prepare_environment`, and `pipeline.embed.graph` is imported by nobody at a module's top.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NoReturn, TypeVar

from pipeline.embed.engine import usable_cores
from pipeline.embed.ray_processes import (
    dead_processes,
    kill_marked_children,
    marked_children,
    own_sigterm,
    wait_for_death,
)
from pipeline.errors import Transient
from pipeline.first_contact import why_silent
from pipeline.settings import Settings

T = TypeVar("T")
LOOK_EVERY_S = 0.5
HEAD_ASKED_TIMES = 4
RAY_CLIENT_PORT = 10001
DEATH_WITHIN_S = 1.0
DRAWING_ENDS_WITHIN_S = 3.0
DRAWING_THREAD = "sensedex-graph"
_abandoned = threading.Event()


class RayUnavailable(Transient):
    """The cluster cannot be reached, or a private one did not start."""

    default_code = "ray_unavailable"


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


def prepare_environment() -> None:
    """What Ray reads when it is imported; settings of the user's own stay."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A call that comes after the end of the session must not begin another.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if "RAY_ADDRESS" in os.environ:
        return
    # Named for the systems on which Ray takes this node's address to be 127.0.0.1 by itself; with
    # that address, all of its servers listen there and nowhere else.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def start_ray(settings: Settings) -> None:
    """Connect to RAY_ADDRESS, or start a private session that ends with this process."""
    address = os.environ.get("RAY_ADDRESS")
    first_contact()
    prepare_environment()
    import ray

    _keep_off_stdout()
    try:
        if address:
            with own_sigterm():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            return
        wanted = max(1, settings.decode.processes) + max(1, settings.encode.processes)
        with own_sigterm(), marked_children():
            ray.init(
                address="local",
                num_cpus=max(usable_cores(), wanted),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=_object_store_bytes(),
            )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = f"the cluster at {address}" if address else "a private Ray session"
        raise RayUnavailable(
            f"Cannot use {what}: {error}",
            remedy="Check RAY_ADDRESS, free memory and /dev/shm; `sensedex doctor` looks at them.",
        ) from error


def _keep_off_stdout() -> None:
    """Ray prints that a worker or a node was lost on standard output, whatever it is told of logs;
    a report is to stand there. Ray's own log has it."""
    from ray._private import worker

    worker._worker_logs_enabled = False


def joins_cluster() -> bool:
    """Whether a session would be of a cluster that others started, by RAY_ADDRESS."""
    return os.environ.get("RAY_ADDRESS", "local") not in ("", "local")


def first_contact() -> None:
    """Ray asks the head of the cluster at RAY_ADDRESS for two minutes, and then ends this process.
    Raises RayUnavailable where nobody listens there."""
    address = os.environ.get("RAY_ADDRESS")
    if not address or address in ("auto", "local"):
        return
    if why := why_silent(address, default_port=RAY_CLIENT_PORT):
        raise RayUnavailable(
            f"Nobody answers at RAY_ADDRESS {address} ({why}).",
            remedy="Start the cluster's head, mend RAY_ADDRESS, or unset it.",
        )


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


def _object_store_bytes() -> int:
    """A tenth of the memory, within 256 MB and 4 GB: blocks are small and do not stay."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(max(memory // 10, 256 * 2**20), 4 * 2**30))
