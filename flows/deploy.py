"""Set up the Prefect side: the work pool, the deployments of `prefect.yaml` with their concurrency
limits, and the automations that notice a dead worker. Idempotent; `remove` undoes it.

It needs a Prefect server (PREFECT_API_URL) and this package installed where the worker runs. The
folder in which the runs work need not be a checkout: it holds `sensedex.toml`, if there is one, and
what the settings name by a relative path.

What was made here, by id, stands in a Prefect variable: a work pool or a deployment that was there
before is brought to what is wanted, and never removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType, WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from flows.automations import (
    find_automation,
    heartbeat_seconds,
    same,
    wanted_automations,
)
from flows.deploy_record import Record
from flows.deployments import (
    Deployment,
    DeploymentsFile,
    apply_deployment,
    differences,
    find_deployment,
)
from flows.prefect_server import PrefectUnavailable
from pipeline.errors import Permanent, SettingsError

POOL_TYPE = "process"
POOL_DESCRIPTION = "Runs of sensedex, each in a process of its own."
# A run that waits for its hour is no history. Prefect's scheduler may put one in even while its
# deployment is being deleted.
_BEGUN = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=[StateType.SCHEDULED]))
)


class PrefectRefused(Permanent):
    """Prefect's server answers, and says no."""

    default_code = "prefect_refused"


class Action(StrEnum):
    """What becomes of a thing on Prefect's side."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Change:
    """What became, or in a dry run would become, of one object on the server."""

    action: Action
    kind: str
    name: str
    detail: str = ""


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of the configured server; none is started here. Raises SettingsError,
    PrefectUnavailable, PrefectRefused."""
    url = PREFECT_API_URL.value()
    if not url:
        raise SettingsError(
            "PREFECT_API_URL does not say where Prefect's server is.",
            remedy="`prefect server start` starts one and says its address.",
        )
    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPStatusError as error:
        answer = (
            f"{error.response.status_code} {error.response.reason_phrase} to "
            f"{error.request.method} {error.request.url.path}"
        )
        if error.response.is_server_error:
            raise PrefectUnavailable(
                f"Prefect's server at {url} cannot answer now: {answer}.",
                remedy="Run again; where it stays so, the server's log says why. With SQLite it is "
                "busy at times, PostgreSQL is not.",
            ) from error
        raise PrefectRefused(
            f"Prefect's server at {url} refuses: {answer}.",
            remedy="Check PREFECT_API_KEY or PREFECT_API_AUTH_STRING, and that the server is of "
            "this version of Prefect.",
        ) from error
    except httpx.HTTPError as error:
        raise PrefectUnavailable(
            f"Prefect's server at {url} does not answer: {error}.",
            remedy="Start it, or check PREFECT_API_URL.",
        ) from error


def deploy(
    client: SyncPrefectClient, wanted: DeploymentsFile, folder: Path, *, dry_run: bool
) -> Iterator[Change]:
    """Bring the server to what is wanted, or say what that would change. Raises PrefectRefused
    where a work pool of that name is of another type."""
    record = Record(client)
    for name in sorted({one.work_pool.name for one in wanted.deployments}):
        yield _deploy_pool(client, record, name, dry_run)
    steps = wanted.pull_steps(folder)
    for one in wanted.deployments:
        yield _deploy_one(client, record, one, steps, dry_run)
    found = [find_deployment(client, one) for one in wanted.deployments]
    ids = [one.id for one in found if one is not None]
    yield from _deploy_automations(client, record, wanted, ids, dry_run)


def remove(
    client: SyncPrefectClient, wanted: DeploymentsFile, *, dry_run: bool
) -> Iterator[Change]:
    """Undo what `deploy` made, and nothing else: automations, deployments, flows without runs, the
    work pool. Runs that were stay in Prefect's history."""
    record = Record(client)
    for name, made in record.made("automation").items():
        automation = client.read_automation(made)
        if automation is not None and not dry_run:
            client.delete_automation(made)
        yield _removed(record, "automation", name, automation is not None, dry_run)
    deployments = record.made("deployment")
    for name, made in deployments.items():
        try:
            there = client.read_deployment(made) is not None
            if not dry_run:
                client.delete_deployment(made)
        except ObjectNotFound:
            there = False
        yield _removed(record, "deployment", name, there, dry_run)
    for one in wanted.deployments:
        left = find_deployment(client, one)
        if left is not None and left.id not in deployments.values():
            yield Change(Action.KEPT, "deployment", one.full_name, "it was there before")
    for name, made in record.made("flow").items():
        by_id = FlowFilter(id=FlowFilterId(any_=[made]))
        there = bool(client.read_flows(flow_filter=by_id))
        if there and client.read_flow_runs(flow_filter=by_id, flow_run_filter=_BEGUN, limit=1):
            yield Change(Action.KEPT, "flow", name, "its runs are Prefect's history")
            if not dry_run:
                record.drop("flow", name)
            continue
        if there and not dry_run:
            client.delete_flow(made)
        yield _removed(record, "flow", name, there, dry_run)
    for name, made in record.made("work pool").items():
        pool = _find_pool(client, name)
        there = pool is not None and pool.id == made
        if there and not dry_run:
            client.delete_work_pool(name)
        yield _removed(record, "work pool", name, there, dry_run)


def _removed(record: Record, kind: str, name: str, there: bool, dry_run: bool) -> Change:
    if not dry_run:
        record.drop(kind, name)
    return Change(Action.REMOVED, kind, name, "" if there else "it was gone already")


def _find_pool(client: SyncPrefectClient, name: str) -> WorkPool | None:
    try:
        return client.read_work_pool(name)
    except ObjectNotFound:
        return None


def _deploy_pool(client: SyncPrefectClient, record: Record, name: str, dry_run: bool) -> Change:
    found = _find_pool(client, name)
    if found is not None and found.type != POOL_TYPE:
        raise PrefectRefused(
            f"There is a work pool {name!r} of type {found.type!r}; the runs need one of type "
            f"{POOL_TYPE!r}.",
            remedy="Remove it, or name another in prefect.yaml.",
        )
    if found is not None:
        return Change(Action.UNCHANGED, "work pool", name)
    if not dry_run:
        made = client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type=POOL_TYPE,
                description=POOL_DESCRIPTION,
                base_job_template=ProcessWorker.get_default_base_job_template(),
            )
        )
        record.add("work pool", name, made.id)
    return Change(Action.CREATED, "work pool", name)


def _deploy_one(
    client: SyncPrefectClient,
    record: Record,
    wanted: Deployment,
    pull_steps: list[dict[str, dict[str, Any]]],
    dry_run: bool,
) -> Change:
    found = find_deployment(client, wanted)
    if found is not None:
        differing = differences(wanted, found, pull_steps)
        if not differing:
            return Change(Action.UNCHANGED, "deployment", wanted.full_name)
        if not dry_run:
            apply_deployment(client, wanted, pull_steps)
        return Change(Action.UPDATED, "deployment", wanted.full_name, ", ".join(differing))
    if not dry_run:
        flow_name = wanted.flow().name
        known = client.read_flows(flow_filter=FlowFilter(name={"any_": [flow_name]}))
        apply_deployment(client, wanted, pull_steps)
        made = find_deployment(client, wanted)
        assert made is not None
        record.add("deployment", wanted.full_name, made.id)
        if not known:
            record.add("flow", flow_name, made.flow_id)
    said = "; ".join(f"{row.cron} {row.timezone}" for row in wanted.schedules)
    return Change(Action.CREATED, "deployment", wanted.full_name, said)


def _deploy_automations(
    client: SyncPrefectClient,
    record: Record,
    wanted: DeploymentsFile,
    deployment_ids: list[UUID],
    dry_run: bool,
) -> Iterator[Change]:
    for automation in wanted_automations(deployment_ids, heartbeat_seconds(wanted.deployments)):
        found = find_automation(client, automation.name)
        if found is None:
            if not dry_run:
                made = client.create_automation(automation)
                record.add("automation", automation.name, made)
            yield Change(Action.CREATED, "automation", automation.name)
        elif same(automation, found):
            yield Change(Action.UNCHANGED, "automation", automation.name)
        else:
            if not dry_run:
                client.update_automation(found.id, automation)
            yield Change(Action.UPDATED, "automation", automation.name)
