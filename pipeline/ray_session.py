"""One Ray session a process: an existing cluster where one is named, else a private one.

The private one listens on loopback alone, has no dashboard and no job server, wants a token from
whoever talks to it, and ends with this process.

Ray reads its authentication mode once, when it is imported. So it is imported here, late, after
`prepare_environment`, and `pipeline.graph` is imported by nobody at a module's top.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.errors import Transient
from pipeline.settings import Settings


class RayUnavailable(Transient):
    """The cluster cannot be reached, or a private one did not start."""

    default_code = "ray_unavailable"


@contextmanager
def ray_session(settings: Settings) -> Iterator[Mapping[str, float]]:
    """Gives the cluster's resources. A session that is already there is used and left running."""
    prepare_environment()
    import ray

    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    start_ray(settings)
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def prepare_environment() -> None:
    """What Ray reads when it is imported; settings of the user's own stay."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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
    prepare_environment()
    import ray

    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            return
        wanted = settings.decode.processes + settings.encode.processes
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, wanted),
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


def _object_store_bytes() -> int:
    """A tenth of the memory, within 256 MB and 4 GB: blocks are small and do not stay."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(max(memory // 10, 256 * 2**20), 4 * 2**30))
