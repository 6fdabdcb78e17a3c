"""Read the deployments of `prefect.yaml`, compare them with those of a server, apply them.

The file is the same that `prefect deploy` reads. In a checkout it lies at the top; an installed
package carries it beside the flows.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import SettingsError

FOLDER_PLACEHOLDER = "{{ $SENSEDEX_FOLDER }}"


class _Strict(BaseModel):
    # A field that this module does not know would be dropped without a word.
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorkPool(_Strict):
    """The work pool of a deployment in prefect.yaml."""

    name: str
    work_queue_name: str
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Concurrency(_Strict):
    """How many runs of a deployment may be at work, and what becomes of one more."""

    limit: int = Field(ge=1)
    collision_strategy: ConcurrencyLimitStrategy
    grace_period_seconds: int | None = None

    def options(self) -> ConcurrencyOptions:
        return ConcurrencyOptions(
            collision_strategy=self.collision_strategy,
            grace_period_seconds=self.grace_period_seconds,
        )


class Schedule(_Strict):
    """A cron schedule with its time zone."""

    cron: str
    timezone: str
    active: bool = True

    def for_prefect(self) -> DeploymentScheduleCreate:
        schedule = CronSchedule(cron=self.cron, timezone=self.timezone)
        return DeploymentScheduleCreate(schedule=schedule, active=self.active)


class Deployment(_Strict):
    """One deployment, as it is wanted. `entrypoint` is `module.function`."""

    name: str
    description: str
    entrypoint: str
    tags: tuple[str, ...]
    parameters: dict[str, Any]
    work_pool: WorkPool
    concurrency_limit: Concurrency
    schedules: tuple[Schedule, ...] = ()

    def flow(self) -> Flow[..., Any]:
        module, _, function = self.entrypoint.rpartition(".")
        found = getattr(importlib.import_module(module), function)
        assert isinstance(found, Flow)
        return found

    def parameter_names(self) -> set[str]:
        return set(inspect.signature(self.flow().fn).parameters)

    @property
    def full_name(self) -> str:
        """As Prefect's command line has it: `index/nightly`."""
        return f"{self.flow().name}/{self.name}"


class DeploymentsFile(_Strict):
    """What `prefect.yaml` says. `pull` is run before the flow, in the worker's child."""

    name: str
    prefect_version: str = Field(alias="prefect-version")
    pull: tuple[dict[str, dict[str, Any]], ...]
    deployments: tuple[Deployment, ...]

    def pull_steps(self, folder: Path) -> list[dict[str, dict[str, Any]]]:
        """With the folder in which the runs work."""
        return [
            {
                step: {
                    name: str(folder) if value == FOLDER_PLACEHOLDER else value
                    for name, value in inputs.items()
                }
                for step, inputs in steps.items()
            }
            for steps in self.pull
        ]


def find_deployments_file() -> Path:
    """Raises SettingsError where neither the checkout nor the package has one."""
    package = Path(__file__).resolve().parent
    for path in (package / "prefect.yaml", package.parent / "prefect.yaml"):
        if path.is_file():
            return path
    raise SettingsError(
        "There is no prefect.yaml beside the flows.",
        remedy="Install the package again, or run this in a checkout.",
    )


def read_deployments(path: Path) -> DeploymentsFile:
    """Raises SettingsError that names the field."""
    try:
        return DeploymentsFile.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}.", remedy="Mend that line.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{path}: {where}: {first['msg']}.", remedy="docs/scheduling.md has what it may hold."
        ) from error


def find_deployment(client: SyncPrefectClient, wanted: Deployment) -> DeploymentResponse | None:
    """The deployment of that name, if the server has one."""
    try:
        return client.read_deployment_by_name(wanted.full_name)
    except ObjectNotFound:
        return None


def differences(
    wanted: Deployment, found: DeploymentResponse, pull_steps: list[dict[str, dict[str, Any]]]
) -> tuple[str, ...]:
    """The fields in which the server's deployment is not what is wanted; empty where it is."""
    limit = found.global_concurrency_limit
    options = found.concurrency_options
    there: Mapping[str, Any] = {
        "description": found.description,
        "entrypoint": found.entrypoint,
        "tags": sorted(found.tags),
        "parameters": found.parameters,
        "parameter form": found.parameter_openapi_schema,
        "folder": found.pull_steps,
        "work pool": (found.work_pool_name, found.work_queue_name),
        "job variables": found.job_variables,
        "concurrency limit": None if limit is None else limit.limit,
        "collision strategy": None if options is None else options.model_dump(),
        "schedule": [
            (row.schedule.cron, row.schedule.timezone, row.active)
            if isinstance(row.schedule, CronSchedule)
            else row.schedule
            for row in found.schedules
        ],
        "paused": found.paused,
    }
    here: Mapping[str, Any] = {
        "description": wanted.description,
        "entrypoint": wanted.entrypoint,
        "tags": sorted(wanted.tags),
        "parameters": wanted.parameters,
        "parameter form": _form(wanted),
        "folder": pull_steps,
        "work pool": (wanted.work_pool.name, wanted.work_pool.work_queue_name),
        "job variables": wanted.work_pool.job_variables,
        "concurrency limit": wanted.concurrency_limit.limit,
        "collision strategy": wanted.concurrency_limit.options().model_dump(),
        "schedule": [(row.cron, row.timezone, row.active) for row in wanted.schedules],
        "paused": False,
    }
    return tuple(name for name, value in here.items() if there[name] != value)


def apply_deployment(
    client: SyncPrefectClient, wanted: Deployment, pull_steps: list[dict[str, dict[str, Any]]]
) -> None:
    """Make the deployment, or make the one of that name what is wanted."""
    client.create_deployment(
        flow_id=client.create_flow(wanted.flow()),
        name=wanted.name,
        description=wanted.description,
        entrypoint=wanted.entrypoint,
        tags=list(wanted.tags),
        parameters=wanted.parameters,
        parameter_openapi_schema=_form(wanted),
        enforce_parameter_schema=True,
        pull_steps=pull_steps,
        work_pool_name=wanted.work_pool.name,
        work_queue_name=wanted.work_pool.work_queue_name,
        job_variables=wanted.work_pool.job_variables,
        concurrency_limit=wanted.concurrency_limit.limit,
        concurrency_options=wanted.concurrency_limit.options(),
        schedules=[row.for_prefect() for row in wanted.schedules],
        paused=False,
    )


def _form(wanted: Deployment) -> dict[str, Any]:
    """The schema by which Prefect draws the form of the parameters."""
    return parameter_schema(wanted.flow()).model_dump(exclude_unset=False)
