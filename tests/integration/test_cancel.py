"""`prefect flow-run cancel` in the middle of a run."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from pipeline.embed.ray_processes import marked_processes
from pipeline.report.read import read_status
from tests.integration.prefect_scene import (
    PREFECT,
    Gate,
    PrefectScene,
    family,
    fill_bucket,
    flags_of,
    settings_of,
    until,
)
from tests.support.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.server]

OBJECTS = 24  # a decoder takes sixteen at a time: some are committed, some are not begun


@pytest.mark.timeout(1200)
def test_a_cancelled_run_leaves_nothing_behind(
    root_dir: Path,
    tmp_path: Path,
    prefect_database: Path,
    s3_server: S3Server,
) -> None:
    scene = PrefectScene(tmp_path, root_dir, prefect_database)
    settings = settings_of(
        tmp_path, s3_server.url, state__shard_objects=4, embed__engine="ray", encode__batch_size=4
    )
    fill_bucket(s3_server.client(), root_dir / "infra/demo/media", "photos/*.jpg", OBJECTS)
    lease = tmp_path / "state" / "lease.json"
    gate = Gate(let_by=18)
    s3_server.before_object_get = gate

    def receipts() -> list[Path]:
        return list(tmp_path.glob("state/runs/*/receipts/*"))

    with scene.server():
        scene.deploy(*flags_of(settings))
        with scene.worker() as worker:
            scene.ask_for_a_run()
            until("a committed shard", receipts, 480, scene.worker_log)
            at_work = family(worker.pid)
            engine = next(one for one in at_work if "prefect.engine" in one.cmdline())
            assert len(marked_processes(engine.pid)) > 5
            (run,) = scene.in_state("Running")
            scene.run([*PREFECT, "flow-run", "cancel", str(run.id)])
            until("Cancelled", lambda: scene.in_state("Cancelled"), 240, scene.worker_log)

            assert json.loads(lease.read_text())["expires_at"] == 0
            assert marked_processes(engine.pid) == []
            left = [one for one in at_work if one.pid != worker.pid and one.is_running()]
            assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
            committed = len(receipts())
            assert committed < OBJECTS // 4

            gate.open()
            scene.ask_for_a_run()
            until("the next run", lambda: scene.in_state("Completed"), 480, scene.worker_log)
    status = read_status(settings)
    assert status.objects_by_status == {"indexed": OBJECTS}
    newest = max(tmp_path.glob("state/runs/*/report.json"))
    assert json.loads(newest.read_text())["recovered_objects"] >= 2
