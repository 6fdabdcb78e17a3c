"""A run is cancelled in its middle; the next one is killed there, with its worker and all that it
started. Each leaves nothing behind but committed shards, and what the schedule brings goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from flows.cli.exit_codes import Exit, status_of
from pipeline import codec
from pipeline.embed.ray_processes import marked_processes
from pipeline.index.vector_index import open_index
from pipeline.report.read import read_status
from pipeline.report.record import RunReport
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from pipeline.state.receipts import open_receipts
from pipeline.state.store import open_store
from tests.chaos.reading import Points, everything, same
from tests.integration.prefect_scene import (
    PREFECT,
    Gate,
    PrefectScene,
    family,
    flags_of,
    settings_of,
    until,
)
from tests.support import media_files
from tests.support.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.server]

# A decoder takes sixteen at a time: each of the two that are stopped has committed some, has some
# in its hands and some not begun.
OBJECTS = 56
A_DECODERS = 16
OF_THE_RUN = {"run_id", "sequence"}


@pytest.mark.timeout(1800)
def test_what_stops_a_run_costs_the_next_one_nothing_that_was_committed(
    root_dir: Path,
    tmp_path: Path,
    prefect_database: Path,
    s3_server: S3Server,
) -> None:
    scene = PrefectScene(tmp_path, root_dir, prefect_database)
    settings = settings_of(
        tmp_path, s3_server.url, state__shard_objects=4, embed__engine="ray", encode__batch_size=4
    )
    client = s3_server.client()
    client.create_bucket(Bucket="demo")
    for number in range(OBJECTS):
        client.put_object(Bucket="demo", Key=f"{number:02d}.jpg", Body=media_files.jpeg(number))
    gate = Gate(let_by=A_DECODERS + 2)
    s3_server.before_object_get = gate

    with scene.server():
        scene.deploy(*flags_of(settings))
        with scene.worker() as worker:
            # Cancelled: the lease is given back, and of all that was started the worker is left.
            scene.ask_for_a_run()
            until("a committed shard", lambda: committed(settings), 480, scene.worker_log)
            at_work = family(worker.pid)
            engine = next(one for one in at_work if "prefect.engine" in one.cmdline())
            assert len(marked_processes(engine.pid)) > 5
            (run,) = scene.in_state("Running")
            scene.run([*PREFECT, "flow-run", "cancel", str(run.id)])
            until("Cancelled", lambda: scene.in_state("Cancelled"), 240, scene.worker_log)
            lease = tmp_path / "state/lease.json"
            given_back = lambda: json.loads(lease.read_text())["expires_at"] == 0  # noqa: E731
            until("the lease given back", given_back, 60, scene.worker_log)
            assert marked_processes(engine.pid) == []
            left = [one for one in at_work if one.pid != worker.pid and one.is_running()]
            assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
            by_the_first = committed(settings)
            assert 4 <= len(by_the_first) < OBJECTS // 2

            # The next one goes on, and is killed with its worker.
            gate.open()
            gate = Gate(let_by=A_DECODERS + 2)
            s3_server.before_object_get = gate
            s3_server.requests.clear()
            scene.ask_for_a_run()
            more = lambda: len(committed(settings)) > len(by_the_first)  # noqa: E731
            until("a shard more", more, 480, scene.worker_log)
            assert fetched(s3_server).isdisjoint(by_the_first)
            scene.deploy(*flags_of(settings), "--cron", "* * * * *")
            (dead,) = scene.in_state("Running")
            killed_at = datetime.now(UTC)
            kill_all_of(worker.pid)
        by_both = committed(settings)
        assert len(by_both) < OBJECTS - 4
        gate.open()
        s3_server.requests.clear()

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
    assert report.recovered_objects == len(by_both)
    assert fetched(s3_server) == keys_of_all() - by_both
    assert report.objects_by_status == {"indexed": OBJECTS}
    assert status_of(report) == Exit.OK
    assert read_status(settings).objects_by_status == {"indexed": OBJECTS}
    assert same(points_of(settings), points_of_a_quiet_run(s3_server.url, tmp_path / "quiet"))


def keys_of_all() -> set[str]:
    return {f"{number:02d}.jpg" for number in range(OBJECTS)}


def committed(settings: Settings) -> set[str]:
    """Keys of the objects that runs which were stopped have committed."""
    store = open_store(settings.state.location, settings.source)
    return {outcome.key for receipt in open_receipts(store, 0) for outcome in receipt.outcomes}


def fetched(server: S3Server) -> set[str]:
    prefix = "/demo/"
    return {
        path.removeprefix(prefix)
        for verb, path in list(server.requests)
        if verb == "GET" and path.removeprefix(prefix) in keys_of_all()
    }


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
