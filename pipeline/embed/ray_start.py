"""Starts Ray: joins the cluster that RAY_ADDRESS names, or starts a private session.

The private one listens on loopback alone, has no dashboard and no job server, wants a token from
whoever talks to it, and ends with this process.

Ray reads its authentication mode once, when it is imported. So it is imported here, late, after
`prepare_environment`, and `pipeline.embed.graph` is imported by nobody at a module's top.
"""

from __future__ import annotations

import logging
import os
import secrets

from pipeline.embed.engine import usable_cores
from pipeline.embed.ray_processes import kill_marked_children, marked_children, own_sigterm
from pipeline.errors import Transient
from pipeline.first_contact import why_silent
from pipeline.settings import Settings

RAY_CLIENT_PORT = 10001
WORKERS_IMPORT = "pipeline.embed.worker_start"
START_TRIES = 3
logger = logging.getLogger(__name__)


class RayUnavailable(Transient):
    """The cluster cannot be reached, or a private one did not start."""

    default_code = "ray_unavailable"


def prepare_environment() -> None:
    """What Ray reads when it is imported; settings of the user's own stay."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A call that comes after the end of the session must not begin another.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if "RAY_ADDRESS" in os.environ:
        return
    # Read by the raylet that this process starts.
    os.environ.setdefault("RAY_preload_python_modules", WORKERS_IMPORT)
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
    refusals = (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError)
    try:
        if address:
            with own_sigterm():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start_private(settings)
    except Exception as error:
        if not isinstance(error, refusals) and not _was_too_slow(error):
            raise
        what = f"the cluster at {address}" if address else "a private Ray session"
        raise RayUnavailable(
            f"Cannot use {what}: {error}",
            remedy="Check RAY_ADDRESS, free memory and /dev/shm; `sensedex doctor` looks at them.",
        ) from error


def _start_private(settings: Settings) -> None:
    """Raises what Ray raises; then nothing of the session is left."""
    import ray

    wanted = max(1, settings.decode.processes) + max(1, settings.encode.processes)
    for tries_left in reversed(range(START_TRIES)):
        try:
            with own_sigterm(), marked_children():
                ray.init(
                    address="local",
                    num_cpus=max(usable_cores(), wanted),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=_object_store_bytes(),
                )
            _stop_log_monitor()
            return
        except Exception as error:
            kill_marked_children()
            if not tries_left or not _was_too_slow(error):
                raise
            logger.warning("Ray did not start in the time that it gives itself: once more.")


def _stop_log_monitor() -> None:
    """It reads what all workers log, ten times a second, for a driver that is not to be told
    (`log_to_driver`): one to two percent of a core, as long as the session lasts."""
    from ray._private import worker

    if worker._global_node is not None:
        worker._global_node.kill_log_monitor(check_alive=False)


def _was_too_slow(error: Exception) -> bool:
    """Ray gives its own processes 30 s to come up, which no setting changes, and raises a bare
    Exception: on a busy machine with one core that is not enough."""
    return type(error) is Exception and "timed out during startup" in str(error)


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


def _object_store_bytes() -> int:
    """A tenth of the memory, within 256 MB and 4 GB: blocks are small and do not stay."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(max(memory // 10, 256 * 2**20), 4 * 2**30))
