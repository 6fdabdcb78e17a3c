"""A Ray cluster of several nodes on this machine, any of which can be lost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.support.marked_processes import EQUAL_WORKERS

STORE_BYTES = 100 * 2**20
# How the nodes speak with one another, and with whom: on loopback, where this process is on it.
GIVEN_ON = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")


class RayCluster:
    """A head with `head_cpus`, and workers with one CPU each. The driver joins the head's node."""

    def __init__(self, head_cpus: float, workers: int) -> None:
        from ray.cluster_utils import Cluster

        with _environment({}):
            self._cluster = Cluster(
                initialize_head=True, head_node_args=_node_args(head_cpus), shutdown_at_exit=False
            )
        self.workers: list[Any] = []
        for _ in range(workers):
            self.add({})

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs to join."""
        ray = {name: os.environ[name] for name in GIVEN_ON if name in os.environ}
        return {**ray, **EQUAL_WORKERS, "RAY_ADDRESS": self._cluster.gcs_address}

    def free_cpus(self) -> float:
        """CPUs that no actor and no task has."""
        nodes = self._cluster.global_state.available_resources_per_node()
        return float(sum(resources.get("CPU", 0.0) for resources in nodes.values()))

    def add(self, environment: Mapping[str, str | None]) -> Any:
        """A worker, in this environment with these changes; None takes a variable out."""
        with _environment(environment):
            node = self._cluster.add_node(**_node_args(1))
        self.workers.append(node)
        return node

    def lose(self, node: Any) -> None:
        """As a spot machine goes: at once, with all that ran on it."""
        self.workers.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def lose_head(self) -> None:
        self._cluster.head_node.kill_gcs_server()
        self._cluster.head_node.kill_raylet()

    def stop(self) -> None:
        for node in list(self.workers):
            self.lose(node)
        self._cluster.shutdown()


@contextmanager
def ray_cluster(head_cpus: float, workers: int) -> Iterator[RayCluster]:
    cluster = RayCluster(head_cpus, workers)
    try:
        yield cluster
    finally:
        cluster.stop()


def _node_args(cpus: float) -> dict[str, Any]:
    return {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """A node's processes have the environment that this one has when they start."""
    with mock.patch.dict(os.environ, EQUAL_WORKERS):
        for name, value in changes.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        yield
