"""`sensedex deploy`, and a run that comes by its schedule: a real server, a process worker."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Scheduled
from prefect.workers.process import ProcessWorker

from flows.automations import heartbeat_seconds, wanted_automations
from flows.deployments import find_deployments_file, read_deployments
from pipeline.index.vector_index import open_index
from pipeline.report.read import read_status
from pipeline.search.request import asked
from pipeline.search.searcher import open_searcher
from tests.integration.prefect_scene import (
    PREFECT,
    SENSEDEX,
    PrefectScene,
    fill_bucket,
    flags_of,
    settings_of,
    until,
)
from tests.support.patience import PATIENCE
from tests.support.s3_server import S3Server

EVERY_MINUTE = ("--cron", "* * * * *")
DEPLOYMENTS = read_deployments(find_deployments_file()).deployments
AUTOMATIONS = len(wanted_automations((), heartbeat_seconds(DEPLOYMENTS)))


@pytest.mark.timeout(1200)
def test_a_run_comes_by_itself(
    root_dir: Path,
    tmp_path: Path,
    prefect_database: Path,
    s3_server: S3Server,
) -> None:
    """Deployed with two commands, and nobody asks for a run."""
    scene = PrefectScene(tmp_path, root_dir, prefect_database)
    settings = settings_of(tmp_path, s3_server.url)
    media = root_dir / "infra/demo/media"
    objects = fill_bucket(s3_server.client(), media, "photos/*.jpg", 6)
    with scene.server():
        first = scene.deploy(*flags_of(settings), *EVERY_MINUTE, "--dry-run")
        assert first
        assert all(line.startswith("would be created") for line in first)
        made = scene.deploy_apart(*flags_of(settings), *EVERY_MINUTE)
        assert [line.removeprefix("would be ").split() for line in first] == [
            line.split() for line in made
        ]
        with scene.worker():
            done = until("a run", lambda: scene.in_state("Completed"), 480, scene.worker_log)
            again = scene.deploy(*flags_of(settings), *EVERY_MINUTE)
            assert again
            assert all(line.startswith("unchanged") for line in again)
            with scene.client() as client:
                artifacts = {artifact.key for artifact in client.read_artifacts()}
        assert done[0].auto_scheduled
        from_yaml = {**scene.env, "SENSEDEX_FOLDER": str(tmp_path)}
        deployed = subprocess.run(
            [*PREFECT, "--no-prompt", "deploy", "--all"],
            cwd=root_dir, env=from_yaml, capture_output=True, text=True, check=True,
            timeout=400 * PATIENCE,
        )  # fmt: skip
        assert deployed.stdout.count("successfully created") == len(DEPLOYMENTS)

    assert scene.lines_at_error() == []
    assert artifacts >= {"index-plan", "index-report"}
    status = read_status(settings)
    assert status.objects_by_status == {"indexed": objects}
    with open_index(settings.index) as index:
        assert index.count_assets() == objects
        assert index.count() == status.segments >= objects
    with open_searcher(settings) as searcher:
        found = searcher.search(asked(words="a dog"))
    assert found


@pytest.mark.timeout(1200)
def test_what_was_made_can_be_changed_and_undone(
    root_dir: Path, tmp_path: Path, prefect_database: Path
) -> None:
    scene = PrefectScene(tmp_path, root_dir, prefect_database)
    with scene.server():
        with scene.client() as client:
            before = _objects(client)
        with scene.client() as client:  # as `prefect work-pool create` does
            template = ProcessWorker.get_default_base_job_template()
            pool = WorkPoolCreate(name="media", type="process", base_job_template=template)
            client.create_work_pool(pool)
        made = scene.deploy("--bucket", "films")
        assert made[0].split() == ["unchanged", "work", "pool", "media"]
        assert sum(line.startswith("created") for line in made) == len(DEPLOYMENTS) + AUTOMATIONS

        changed = scene.deploy("--bucket", "films", "--timezone", "Europe/Berlin")
        assert [line for line in changed if not line.startswith("unchanged")] == [
            f"updated    deployment {deployment.full_name} (schedule)"
            for deployment in DEPLOYMENTS
            if deployment.schedules
        ]
        with scene.client() as client:
            nightly = client.read_deployment_by_name("index/nightly")
            _looks_right(nightly)
            # As the scheduler makes them, at times while their deployment is being deleted.
            client.create_flow_run(DEPLOYMENTS[0].flow(), state=Scheduled())

        would = scene.deploy("--remove", "--dry-run")
        removed = scene.deploy("--remove")
        flows = {deployment.full_name.partition("/")[0] for deployment in DEPLOYMENTS}
        assert len(would) == len(removed) == AUTOMATIONS + len(DEPLOYMENTS) + len(flows)
        assert [line for line in would if not line.startswith("would be removed")] == []
        assert [line for line in removed if not line.startswith("removed")] == []
        # What was there before is left.
        with scene.client() as client:
            client.delete_work_pool("media")
            assert _objects(client) == before
        assert scene.deploy("--remove") == ["Nothing here was made by `sensedex deploy`."]
    assert scene.lines_at_error() == []


def _looks_right(nightly: object) -> None:
    plain = json.loads(nightly.model_dump_json())  # type: ignore[attr-defined]
    assert plain["job_variables"] == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert plain["parameters"] == {"settings_file": None, "source": {"bucket": "films"}}
    assert plain["global_concurrency_limit"]["limit"] == 1
    assert plain["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    (schedule,) = plain["schedules"]
    assert schedule["schedule"]["cron"] == "30 2 * * *"
    assert schedule["schedule"]["timezone"] == "Europe/Berlin"
    fields = plain["parameter_openapi_schema"]["properties"]
    for name, field in fields.items():
        assert field["title"], name
        assert field["description"], name
    for model in plain["parameter_openapi_schema"]["definitions"].values():
        assert model["description"]
        assert all(row["description"] for row in model["properties"].values()), model["title"]


def _objects(client: object) -> tuple[int, ...]:
    """How many of each kind there are on the server, the concurrency limits among them."""
    kinds = ("work_pools", "deployments", "flows", "automations", "variables")
    limits = client.read_global_concurrency_limits(limit=50, offset=0)  # type: ignore[attr-defined]
    counts = [len(getattr(client, f"read_{kind}")()) for kind in kinds]
    return (len(limits), *counts)


@pytest.mark.slow("processes that import Prefect, 5 s")
@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("", 2, "PREFECT_API_URL does not say where Prefect's server is."),
        ("http://127.0.0.1:9/api", 5, "Prefect's server at http://127.0.0.1:9/api does not answer"),
    ],
)
def test_without_a_server_it_says_so(tmp_path: Path, url: str, status: int, said: str) -> None:
    env = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [*SENSEDEX, "deploy"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300 * PATIENCE,
    )
    assert done.returncode == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 4
