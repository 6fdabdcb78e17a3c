"""`sensedex deploy`: sets up the Prefect side, says what changed, and undoes it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.cli import options as o
from flows.cli.json_output import print_json
from flows.prefect_server import first_contact
from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from flows.deploy import Change
    from flows.deployments import DeploymentsFile

out = Console(highlight=False)
ASKED = "Start it, or check PREFECT_API_URL."


@o.with_settings
def deploy(
    options: o.Options,
    cron: Annotated[
        str | None, typer.Option(help="When `nightly` runs, instead of prefect.yaml's schedule.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="The time zone of all schedules.")] = None,
    folder: Annotated[
        Path, typer.Option(help="Where the runs work: relative paths begin there.")
    ] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Undo what this command made.")] = False,
    as_json: o.Json = False,
) -> None:
    """Set up Prefect: work pool, schedules, limits, and what notices a dead worker.

    May be run again: it says what is created, updated and unchanged. Settings that are given here
    become parameters of the deployments; the others are read where the runs work.
    """
    chosen = options.settings()
    file = options.file or (o.DEFAULT_FILE if o.DEFAULT_FILE.is_file() else None)
    parameters = given_parameters(chosen, file)
    first_contact(os.environ.get("PREFECT_API_URL"), ASKED)  # Prefect takes seconds to import

    from flows import deploy as steps
    from flows.deployments import find_deployments_file, read_deployments

    wanted = with_choices(
        read_deployments(find_deployments_file()),
        parameters,
        cron,
        timezone,
        serve_events=chosen.events.queue_url is not None,
    )
    with steps.prefect_client() as client:
        changes = (
            steps.remove(client, wanted, dry_run=dry_run)
            if remove
            else steps.deploy(client, wanted, folder.resolve(), dry_run=dry_run)
        )
        shown = []
        for change in changes:
            shown.append(change)
            if not as_json:
                out.print(line_of(change, dry_run), soft_wrap=True)
    if as_json:
        print_json([asdict(change) for change in shown])
    elif remove and not shown:
        out.print("Nothing here was made by `sensedex deploy`.")
    elif not remove and not chosen.source.name:
        out.print(
            "No bucket is named: set it in sensedex.toml, or as SENSEDEX_SOURCE__BUCKET where the "
            "worker runs."
        )


def line_of(change: Change, dry_run: bool) -> str:
    """The line that tells a person of a change, made or to be made."""
    said = f"{'would be ' if dry_run else ''}{change.action}"
    detail = f" ({change.detail})" if change.detail else ""
    return f"{said:<10} {change.kind} {change.name}{detail}"


def given_parameters(chosen: Settings, file: Path | None) -> dict[str, Any]:
    """What the flags say beyond the file and the environment, as the flows' parameters.

    Raises SettingsError for a secret: parameters can be read by whoever sees Prefect's pages.
    """
    base = load_settings(file)
    parameters: dict[str, Any] = {"settings_file": str(file.resolve()) if file else None}
    for part in Settings.model_fields:
        here, there = getattr(chosen, part), getattr(base, part)
        differing = {
            name for name in type(here).model_fields if getattr(here, name) != getattr(there, name)
        }
        if part == "index" and "api_key" in differing:
            raise SettingsError(
                "index.api_key would stand in Prefect's pages.",
                remedy="Set SENSEDEX_INDEX__API_KEY where the worker runs.",
            )
        if differing:
            parameters[part] = here.model_dump(mode="json", include=differing)
    return parameters


def with_choices(
    file: DeploymentsFile,
    parameters: dict[str, Any],
    cron: str | None,
    timezone: str | None,
    *,
    serve_events: bool,
) -> DeploymentsFile:
    """The file's deployments with what the command line says; each takes the parameters that its
    flow has. That of events is active where there is a queue."""
    return file.model_copy(
        update={
            "deployments": tuple(
                one.model_copy(
                    update={
                        "parameters": one.parameters
                        | {
                            name: value
                            for name, value in parameters.items()
                            if name in one.parameter_names()
                        },
                        "schedules": tuple(
                            row.model_copy(
                                update={
                                    "cron": cron if cron and one.name == "nightly" else row.cron,
                                    "timezone": timezone or row.timezone,
                                    "active": serve_events if one.name == "events" else row.active,
                                }
                            )
                            for row in one.schedules
                        ),
                    }
                )
                for one in file.deployments
            )
        }
    )
