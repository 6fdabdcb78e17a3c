"""Prefect's server is killed and started again while a run is at work."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.report.read import read_status
from tests.integration.prefect_scene import (
    Gate,
    PrefectScene,
    fill_bucket,
    flags_of,
    settings_of,
    until,
)
from tests.support.s3_server import S3Server

OBJECTS = 12
AWAY_S = 10


@pytest.mark.timeout(1200)
def test_the_run_ends_well_and_says_once_what_it_could_not_tell(
    root_dir: Path,
    tmp_path: Path,
    prefect_database: Path,
    s3_server: S3Server,
) -> None:
    # Prefect's client tries for a minute; what it cannot tell then is lost. Here it tries once more
    # alone, which it needs: its server answers 503 while SQLite is busy.
    scene = PrefectScene(tmp_path, root_dir, prefect_database, {"PREFECT_CLIENT_MAX_RETRIES": "1"})
    settings = settings_of(tmp_path, s3_server.url, state__shard_objects=2)
    fill_bucket(s3_server.client(), root_dir / "infra/demo/media", "photos/*.jpg", OBJECTS)
    gate = Gate(let_by=6)
    s3_server.before_object_get = gate
    with scene.server() as server:
        scene.deploy(*flags_of(settings))
        with scene.worker():
            scene.ask_for_a_run()
            at_work = lambda: s3_server.count("GET") >= OBJECTS // 2  # noqa: E731
            until("a run in its middle", at_work, 480, scene.worker_log)
            os.killpg(server.pid, signal.SIGKILL)
            time.sleep(AWAY_S)
            with scene.server():
                gate.open()
                until("the end", lambda: scene.in_state("Completed"), 480, scene.worker_log)
                # Before this server goes, too: a process that ends then cannot tell its last lines.
                log = scene.worker_log.read_text()
    assert read_status(settings).objects_by_status == {"indexed": OBJECTS}
    assert log.count("Prefect's server does not answer") == 1
    assert "Error logging to API" not in log
