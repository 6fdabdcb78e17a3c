"""A worker is killed with all that it started: noticed without a hand, and healed by the next run
that the schedule brings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from flows.cli.exit_codes import Exit, status_of
from pipeline import codec
from pipeline.index.vector_index import open_index
from pipeline.report.record import RunReport
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from tests.chaos.reading import Points, everything, same
from tests.integration.prefect_scene import (
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
OF_THE_RUN = {"run_id", "sequence"}


@pytest.mark.timeout(1800)
def test_the_next_scheduled_run_goes_on(
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
    gate = Gate(let_by=18)
    s3_server.before_object_get = gate

    with scene.server():
        scene.deploy(*flags_of(settings), "--cron", "* * * * *")
        with scene.worker() as worker:
            committed = lambda: list(tmp_path.glob("state/runs/*/receipts/*"))  # noqa: E731
            until("a committed shard", committed, 480, scene.worker_log)
            (dead,) = scene.in_state("Running")
            killed_at = datetime.now(UTC)
            kill_all_of(worker.pid)
        assert len(committed()) < OBJECTS // 4
        gate.open()

        with scene.worker():  # whatever supervises workers starts another
            until("Crashed", lambda: scene.in_state("Crashed"), 240, scene.server_log)
            crashed = scene.flow_run(dead.id).state
            assert crashed is not None
            assert crashed.name == "Crashed"
            noticed_s = (crashed.timestamp - killed_at).total_seconds()
            done = until("a run", lambda: scene.in_state("Completed"), 480, scene.worker_log)
        healed = done[0]
    assert noticed_s <= 120
    assert crashed.message is not None
    assert "worker is dead" in crashed.message
    assert healed.auto_scheduled
    assert healed.start_time is not None
    begun_s = (healed.start_time - crashed.timestamp).total_seconds()
    assert 0 <= begun_s <= 60
    print(f"Crashed {noticed_s:.0f} s after the kill, the next run began {begun_s:.0f} s later")

    report = first_report(tmp_path)
    assert report.recovered_objects > 0
    assert report.objects_by_status == {"indexed": OBJECTS}
    assert status_of(report) == Exit.OK
    assert same(points_of(settings), points_of_a_quiet_run(s3_server.url, tmp_path / "quiet"))


def kill_all_of(pid: int) -> None:
    """The worker first, so that it can tell nobody of what it started."""
    everyone = family(pid)
    for one in everyone:
        one.kill()
    gone, left = psutil.wait_procs(everyone, timeout=20)
    assert gone
    assert left == []


def first_report(folder: Path) -> RunReport:
    """Of the first run that came to its end."""
    (first, *_) = sorted(folder.glob("state/runs/*/report.json"))
    return codec.from_bytes(RunReport, first.read_bytes())


def points_of(settings: Settings) -> Points:
    with open_index(settings.index) as index:
        points = everything(index, of_the_run=True)
    return {
        point: ({k: v for k, v in payload.items() if k not in OF_THE_RUN}, vectors)
        for point, (payload, vectors) in points.items()
    }


def points_of_a_quiet_run(url: str, folder: Path) -> Points:
    folder.mkdir()
    quiet = settings_of(folder, url, embed__engine="loop")
    run_index(quiet)
    points = points_of(quiet)
    assert len(points) >= 2 * OBJECTS  # a segment and an anchor each, at least
    return points
