"""Prefect automations that notice a run whose worker is dead.

A flow's process sends a heartbeat while it lives. Where it was killed together with its worker,
nobody is left to say so, and Prefect shows it as running for ever. Each automation here waits for
the next sign of life of every run, and sets the run to Crashed where none comes; that also gives
the run's concurrency slot back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from flows.deployments import Deployment

HEARTBEAT_VARIABLE = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
MISSED_HEARTBEATS = 3
START_WITHIN_S = 180  # from taken by a worker to running; Python and Prefect are imported in it
ENDS = frozenset(
    f"prefect.flow-run.{state}"
    for state in ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended", "Scheduled")
)
HEARTBEAT = "prefect.flow-run.heartbeat"


def heartbeat_seconds(deployments: Sequence[Deployment]) -> int:
    """How often the runs send one: the largest of their job variables; Prefect's own is 180."""
    return max(
        int(wanted.work_pool.job_variables.get("env", {}).get(HEARTBEAT_VARIABLE, 180))
        for wanted in deployments
    )


def wanted_automations(
    deployment_ids: Sequence[UUID], heartbeat_s: int
) -> tuple[AutomationCore, ...]:
    """For the runs of these deployments alone: others may send no heartbeats."""
    silent_s = MISSED_HEARTBEATS * heartbeat_s
    return (
        _crash(
            "sensedex: a run without heartbeat is Crashed",
            f"Its worker is dead: no heartbeat for {silent_s} s. What it committed is kept, and "
            "the next run goes on from there.",
            deployment_ids,
            after={HEARTBEAT},
            expect={HEARTBEAT, *ENDS},
            within_s=silent_s,
        ),
        _crash(
            "sensedex: a run that does not start is Crashed",
            f"A worker took it and did not start it within {START_WITHIN_S} s.",
            deployment_ids,
            after={"prefect.flow-run.Pending", "prefect.flow-run.Submitting"},
            expect={"prefect.flow-run.Running", HEARTBEAT, *ENDS},
            within_s=START_WITHIN_S,
        ),
    )


def find_automation(client: SyncPrefectClient, name: str) -> Automation | None:
    """The automation of that name, if the server has one."""
    found = client.read_automations_by_name(name)
    return found[0] if found else None


def same(wanted: AutomationCore, found: Automation) -> bool:
    """Whether the server's automation does what is wanted."""
    return _compared(wanted) == _compared(found)


def _compared(automation: AutomationCore) -> dict[str, Any]:
    # `id` is the server's; sets come back in any order, so the models are compared and not JSON.
    names = ("description", "enabled", "trigger", "actions")
    return {name: getattr(automation, name) for name in names}


def _crash(
    name: str,
    message: str,
    deployment_ids: Sequence[UUID],
    *,
    after: set[str],
    expect: set[str],
    within_s: int,
) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=message,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "deployment",
                "prefect.resource.id": [f"prefect.deployment.{one}" for one in deployment_ids],
            },
            for_each={"prefect.resource.id"},
            after=after,
            expect=expect,
            threshold=1,
            within=timedelta(seconds=within_s),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )
