"""A Ray cluster of three nodes that loses its parts: whole runs, in processes of their own."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli.exit_codes import Exit
from pipeline.index.vector_index import open_index
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings, load_settings
from pipeline.state.lease import read_lease
from pipeline.state.receipts import RunFolder, read_loads
from pipeline.state.store import open_store
from tests.chaos.reading import Points, everything, same
from tests.chaos.real_run import RealRun
from tests.support import media_files
from tests.support.faulty_s3 import SLOW_DOWN
from tests.support.marked_processes import marked_environment
from tests.support.patience import PATIENCE
from tests.support.qdrant_server import qdrant_server
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.s3_server import S3Server, reset_moto

pytestmark = [pytest.mark.ray, pytest.mark.server]

OBJECTS = 40
ALL = 10**6
LONGEST_RUN_S = 240.0 * PATIENCE
SLOW_NODE = "slow-node"  # botocore tells it in each request
# Thirty seconds would be waited for in the same way: both are below the client's time limit.
STALL_S = 2.0
# What the job server and KubeRay's RayJob, which asks it, give the process that they start.
OF_A_JOB = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"metadata": {"job_submission_id": "job-1"}})}


@pytest.fixture(scope="module")
def cluster(_environment: None) -> Iterator[RayCluster]:
    with ray_cluster(head_cpus=1, workers=2) as started:
        yield started


class Gate:
    """Stands before the S3 server: lets so many GETs of media by, and keeps back who asks for
    more. It can answer a share of all requests with 503, and those of a node that says so late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = ALL
        self._open = threading.Event()
        self._asked = itertools.count(1)
        self.every = 0
        self.throttled = 0
        self.stalled = 0

    def before(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
            if self.every and next(self._asked) % self.every == 0:
                self.throttled += 1
                start("503 Slow Down", [("Content-Type", "application/xml")])
                return [SLOW_DOWN]
            if environ["REQUEST_METHOD"] == "GET":
                if SLOW_NODE in environ.get("HTTP_USER_AGENT", ""):
                    self.stalled += 1
                    time.sleep(STALL_S)
                if environ["PATH_INFO"].startswith("/media/0"):
                    self._pass()
            return app(environ, start)

        return answer

    def let_by(self, more: int) -> None:
        """So many more, from those who wait on."""
        with self._lock:
            self._left = more
            self._open.set()
            self._open = threading.Event()

    @property
    def reached(self) -> bool:
        return self._left < 0

    def _pass(self) -> None:
        with self._lock:
            self._left -= 1
            keeps, opened = self._left < 0, self._open
        if keeps:
            opened.wait(LONGEST_RUN_S)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def filled(gate: Gate) -> Iterator[S3Server]:
    """Media, and an empty bucket for states."""
    server = S3Server(gate.before)
    try:
        reset_moto(server.url)
        client = server.client()
        for bucket in ("media", "state"):
            client.create_bucket(Bucket=bucket)
        for number in range(OBJECTS):
            body = media_files.jpeg(number)
            client.put_object(Bucket="media", Key=f"{number:03d}.jpg", Body=body)
        server.requests.clear()
        yield server
    finally:
        gate.let_by(ALL)
        server.stop()


def settings_file(folder: Path, s3: S3Server, index_url: str, state: str) -> Path:
    folder.mkdir(exist_ok=True)
    parts = {
        "source": {"bucket": "media", "endpoint_url": s3.url},
        "encode": {"encoder": "imagebind-demo", "batch_size": 8},
        "index": {"url": index_url, "prefer_grpc": False},
        "state": {"location": state, "shard_objects": 4},
    }
    lines = []
    for part, fields in parts.items():
        lines += [f"[{part}]", *(f"{name} = {json.dumps(v)}" for name, v in fields.items())]
    file = folder / "sensedex.toml"
    file.write_text("\n".join(lines))
    return file


def points_of(settings: Settings) -> Points:
    with open_index(settings.index) as index:
        return everything(index)


def until(what: Callable[[], object], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def keys_of(s3: S3Server) -> list[str]:
    return [o["Key"] for o in s3.client().list_objects_v2(Bucket="state").get("Contents", [])]


@pytest.mark.timeout(400)
def test_a_node_that_cannot_do_its_part_is_named_before_anything_is_written(
    cluster: RayCluster, filled: S3Server, tmp_path: Path
) -> None:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    unfit = cluster.add(dict.fromkeys(keys))
    try:
        with qdrant_server() as qdrant:
            url = f"http://127.0.0.1:{qdrant.port}"
            file = settings_file(tmp_path, filled, url, "s3://state/unfit")
            ended = RealRun(tmp_path / "run", file, cluster.environment, LONGEST_RUN_S).end()
            assert qdrant.created == {}
    finally:
        cluster.lose(unfit)
    assert ended.status == Exit.PERMANENT, ended.said
    said = " ".join(ended.said.split())
    assert said.count("There are no usable AWS credentials") == 1
    assert unfit.unique_id[:8] in said
    assert "nodes_unfit" in said
    assert keys_of(filled) == []


@pytest.mark.timeout(600)
def test_a_killed_driver_and_two_lost_nodes_cost_time_alone(
    cluster: RayCluster, filled: S3Server, gate: Gate, tmp_path: Path
) -> None:
    with qdrant_server() as struck, qdrant_server() as quiet:
        url = f"http://127.0.0.1:{struck.port}"
        file = settings_file(tmp_path, filled, url, "s3://state/struck")

        # The driver dies: nothing of its job stays behind on the cluster.
        gate.let_by(20)
        run = RealRun(tmp_path / "first", file, cluster.environment, LONGEST_RUN_S)
        committed = lambda: any("/receipts/" in key for key in keys_of(filled))  # noqa: E731
        assert run.wait_for(lambda: gate.reached and committed()), run.said()
        run.kill_group()
        assert run.end().left == ()
        assert until(lambda: cluster.free_cpus() == 3, 60)

        # As a job's entry: it goes on, while a third of the nodes goes, twice, the bucket answers
        # one request in twenty with 503, and the node that comes gets all that it reads late.
        gate.every = 20
        gate.let_by(4)
        run = RealRun(tmp_path / "next", file, {**cluster.environment, **OF_A_JOB}, LONGEST_RUN_S)
        assert run.wait_for(lambda: gate.reached), run.said()
        cluster.lose(cluster.workers[0])
        gate.let_by(4)
        cluster.add({"AWS_SDK_UA_APP_ID": SLOW_NODE})
        assert run.wait_for(lambda: gate.reached), run.said()
        cluster.lose(cluster.workers[0])
        gate.let_by(ALL)
        ended = run.end()
        assert ended.status == Exit.OK, ended.said
        assert ended.left == ()
        assert ended.report["objects_by_status"] == {"indexed": OBJECTS}
        assert ended.report["recovered_objects"] > 0
        assert gate.throttled > 0
        assert gate.stalled > 0
        gate.every = 0
        struck_state = open_store("s3://state/struck", load_settings(file).source)
        lease = read_lease(struck_state)
        assert lease is not None
        loads = read_loads(struck_state, RunFolder(lease.sequence, lease.run_id))
        assert {facts["process"] for facts in loads.values()}.isdisjoint({lease.holder})

        url = f"http://127.0.0.1:{quiet.port}"
        clean = settings_file(tmp_path / "clean", filled, url, "s3://state/clean")
        run_index(load_settings(clean, {"embed.engine": "loop"}))
        assert same(points_of(load_settings(file)), points_of(load_settings(clean)))


HEAD_LOST = """
import time
from pipeline.embed.ray_session import RayDied, exit_with, ray_session, while_ray_lives
from pipeline.settings import Settings

def items():
    yield "joined"
    time.sleep(600)

with ray_session(Settings()):
    try:
        for item in while_ray_lives(items()):
            print(item, flush=True)
    except RayDied as error:
        print(error, flush=True)
exit_with(5)
"""


@pytest.mark.timeout(200)
def test_a_lost_head_is_named(cluster: RayCluster, root_dir: Path, tmp_path: Path) -> None:
    """The last test of the cluster. Ray alone would end the process after a minute."""
    environment = {**marked_environment(str(tmp_path)), **cluster.environment}
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD_LOST],
        cwd=root_dir, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        cluster.lose_head()
        said = process.stdout.read()
        assert process.wait(60) == 5, said
    assert "The head of the Ray cluster no longer answers" in said
