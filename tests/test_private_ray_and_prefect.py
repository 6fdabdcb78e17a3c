"""Canaries: what we use of Ray and of Prefect beside their documented interface is still there.

docs/dependencies.md says of each where it is used, why, and what happens without it. A failure here
names the installed version that broke it. Nothing starts: no Ray session, no Prefect server.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from pathlib import Path

import pytest

from tests.support.private_parts import broke

# An import of Ray reads its settings: conftest.py has set them before this module is read.


def test_ray_knows_its_node_and_the_node_its_processes() -> None:
    from ray._private import ray_constants, worker
    from ray._private.node import Node

    assert hasattr(worker, "_global_node"), broke("ray", "has no ray._private.worker._global_node")
    assert callable(getattr(Node, "dead_processes", None)), broke("ray", "has no dead_processes")
    for kill in (Node.kill_all_processes, Node.kill_log_monitor):
        parameters = inspect.signature(kill).parameters
        assert "check_alive" in parameters, broke("ray", "kills without check_alive")
    names = {ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER}
    assert names == {"raylet", "gcs_server"}, broke("ray", "calls its processes otherwise")


def test_ray_prints_what_nodes_say_by_this_switch() -> None:
    from ray._private import worker

    # Not its value: a session that another test began in this process has turned it off.
    assert isinstance(worker._worker_logs_enabled, bool), broke("ray", "has no such switch")
    assert "_worker_logs_enabled" in inspect.getsource(worker.print_worker_logs), broke(
        "ray", "prints without a look at it"
    )
    assert "print_to_stdstream" in inspect.getsource(worker.listen_error_messages), broke(
        "ray", "prints a lost node's last words in another way"
    )


def test_ray_says_in_words_that_its_processes_did_not_come_up_in_time() -> None:
    from ray._private.node import Node

    code = inspect.getsource(Node.__init__)
    assert "raise Exception(" in code, broke("ray", "raises an error of a class of its own")
    assert "timed out during startup" in code, broke("ray", "says it otherwise")


def test_ray_says_in_words_that_an_actor_raised_as_it_was_made() -> None:
    import ray

    raised = ray.exceptions.RayTaskError("made", "Traceback\nValueError: why", ValueError("why"))
    said = str(ray.exceptions.ActorDiedError(raised)).splitlines()
    assert "creation task" in said[0], broke("ray", "says it otherwise")
    assert said[-1] == "ValueError: why", broke("ray", "does not end with the reason")


def test_ray_reads_the_variables_that_keep_it_on_loopback() -> None:
    from ray._private import auto_init_hook, ray_constants, services

    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    assert variable == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", broke("ray", f"reads {variable}")
    assert "ENABLE_RAY_CLUSTER" in inspect.getsource(services.get_node_ip_address), broke(
        "ray", "resolves a node's address in another way"
    )
    assert "RAY_ENABLE_AUTO_CONNECT" in inspect.getsource(auto_init_hook), broke(
        "ray", "begins a session by itself in another way"
    )


def test_ray_data_reports_by_a_handler_of_its_logger() -> None:
    import ray.data  # noqa: F401  sets them up
    from ray._private.log import PlainRayHandler

    handlers = logging.getLogger("ray.data").handlers
    assert any(isinstance(handler, PlainRayHandler) for handler in handlers), broke(
        "ray", "has another handler on `ray.data` for the screen"
    )


def test_prefect_renews_a_slot_by_the_function_that_is_replaced() -> None:
    from prefect.concurrency import _leases

    from flows.slots import RENEW

    renew = getattr(_leases, RENEW, None)
    assert callable(renew), broke("prefect", f"has no prefect.concurrency._leases.{RENEW}")
    assert len(inspect.signature(renew).parameters) == 4, broke("prefect", f"calls {RENEW} anew")
    # Looked up by name at each turn: only then is another function in its place called.
    assert RENEW in _leases._lease_renewal_loop.__code__.co_names, broke(
        "prefect", f"does not call {RENEW} by its name"
    )


@pytest.mark.slow("imports Prefect's server, 3 s")
def test_prefect_starts_its_temporary_server_by_this_class() -> None:
    from prefect.client import orchestration
    from prefect.server.api.server import SubprocessASGIServer

    assert "server = SubprocessASGIServer()" in inspect.getsource(orchestration.get_client), broke(
        "prefect", "starts its temporary server by another class"
    )
    assert SubprocessASGIServer() is SubprocessASGIServer(), broke("prefect", "has many of them")
    assert callable(SubprocessASGIServer.stop), broke("prefect", "does not stop it by `stop`")


def test_prefect_logs_lost_events_by_these_loggers_in_these_words() -> None:
    from prefect._internal.concurrency import logger as services_logger
    from prefect._internal.concurrency import services
    from prefect.events import clients, worker

    from flows.away import EVENT_LOGGERS

    assert {clients.logger.name, services_logger.name} == set(EVENT_LOGGERS), broke(
        "prefect", "logs lost events elsewhere"
    )
    for module, words in ((clients, "Unable to connect to %r"), (services, "Service %r failed")):
        assert words in inspect.getsource(module), broke("prefect", f"no longer says {words!r}")
    assert hasattr(worker, "EventsWorker"), broke("prefect", "has no EventsWorker")


def test_prefect_logs_what_failed_by_these_loggers_in_these_words() -> None:
    from prefect import flow_engine, task_engine
    from prefect.client import orchestration

    from flows.error_logging import ENGINE_LOGGERS
    from flows.prefect_server import UNREACHABLE

    said = (
        (flow_engine, "Finished in state "),
        (task_engine, "Finished in state "),
        (task_engine, "Task run encountered an exception"),
        (task_engine, " - Retry "),
        (orchestration, UNREACHABLE),
    )
    for module, words in said:
        assert words in inspect.getsource(module), broke(
            "prefect", f"no longer says {words!r} in {module.__name__}"
        )
    loggers = inspect.getsource(sys.modules["prefect.logging.loggers"])
    engines = inspect.getsource(flow_engine) + inspect.getsource(task_engine) + loggers
    for name in ENGINE_LOGGERS:
        word = name.removeprefix("prefect.")
        assert re.search(rf"[\"'](prefect\.)?{word}[\"']", engines), broke(
            "prefect", f"has no logger {name}"
        )


def test_rays_workers_begin_with_the_module_that_is_named() -> None:
    """tests/pipeline/test_graph.py looks at a worker."""
    import ray
    from ray._private.utils import try_import_each_module

    began = (Path(ray.__file__).parent / "_private/workers/default_worker.py").read_text()
    given = "--worker-preload-modules" in began and try_import_each_module.__name__ in began
    assert given, broke("ray", "gives its workers no modules to begin with")


def test_ray_knows_handles_that_keep_no_actor_alive() -> None:
    from ray.actor import ActorHandle

    package = "ray"
    known = inspect.signature(ActorHandle.__init__).parameters
    assert "weak_ref" in known, broke(package, "knows no weak handles of actors")
    assert "_ray_weak_ref" in inspect.getsource(ActorHandle), broke(package, "renamed them")
