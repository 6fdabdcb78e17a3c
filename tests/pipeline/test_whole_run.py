"""The whole run as a plain function: where it works, what it waits for, what it leaves alone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.embed.engine import Engine, Machine, choose_engine
from pipeline.errors import BucketNotFound, SensedexError, StoreUnavailable
from pipeline.garbage import OBJECTS_BETWEEN_COLLECTIONS
from pipeline.index.vector_index import open_index
from pipeline.report.read import read_status
from pipeline.report.record import RunReport
from pipeline.run.begin import StateMoved
from pipeline.run.step_runner import LOAD, PLAN, Step, plain_runner
from pipeline.run.whole_run import run_index
from pipeline.settings_embedding import EmbedSettings
from tests.support import media_files
from tests.support.python_path import python_path
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

MB = 2**20
CLUSTER = {"RAY_ADDRESS": "ray-head:6379"}
# What a run with nothing to do has no use for, and what it takes seconds to import.
HEAVY = ("torch", "ray", "prefect", "qdrant_client", "transformers", "pandas", "sympy")


LARGE, TWO_CORES, GPU = Machine(6), Machine(2), Machine(2, has_gpu=True)


@pytest.mark.parametrize(
    ("given", "objects", "size_bytes", "environment", "machine", "expected"),
    [
        ({}, 10, MB, {}, LARGE, Engine.LOOP),
        ({}, 1200, MB, {}, LARGE, Engine.RAY),
        ({}, 1199, MB, {}, LARGE, Engine.LOOP),
        ({}, 10, 256 * MB, {}, LARGE, Engine.RAY),
        ({}, 10**6, 256 * MB, {}, TWO_CORES, Engine.LOOP),
        ({}, 1200, MB, {}, GPU, Engine.RAY),
        ({}, 10, MB, {}, GPU, Engine.LOOP),
        ({}, 10, MB, CLUSTER, TWO_CORES, Engine.RAY),
        ({"engine": "loop"}, 10**6, MB, CLUSTER, LARGE, Engine.LOOP),
        ({"engine": "ray"}, 1, 1, {}, TWO_CORES, Engine.RAY),
        ({"ray_from_objects": 5}, 5, 1, {}, LARGE, Engine.RAY),
        ({"ray_from_objects": 5}, 4, 1, {}, LARGE, Engine.LOOP),
        ({"ray_from_cores": 2}, 1200, 1, {}, TWO_CORES, Engine.RAY),
    ],
)
def test_the_engine_fits_what_there_is_to_do(
    given: dict[str, Any],
    objects: int,
    size_bytes: int,
    environment: dict[str, str],
    machine: Machine,
    expected: Engine,
) -> None:
    chosen = choose_engine(EmbedSettings(**given), objects, size_bytes, environment, machine)
    assert chosen is expected


def tried(errors: list[SensedexError]) -> Callable[[], int]:
    """A function that raises these, one a call, and then says how often it was called."""
    calls = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return len(calls)

    return call


AWAY = StoreUnavailable("No answer from the bucket.")


def test_what_may_pass_is_waited_for_and_said() -> None:
    slept: list[float] = []
    said: list[str] = []
    with plain_runner(said.append, wait=slept.append) as runner:
        assert runner.call(LOAD, tried([AWAY, AWAY])) == 3
        assert slept == [1, 5]
        assert said == [
            "load: No answer from the bucket. Again in 1 s (1 of 5)",
            "load: No answer from the bucket. Again in 5 s (2 of 5)",
        ]
        with pytest.raises(StoreUnavailable):
            runner.call(Step("short", (1,)), tried([AWAY, AWAY]))
        with pytest.raises(BucketNotFound):
            runner.call(LOAD, tried([BucketNotFound("No such bucket.")]))
        slept.clear()
        with pytest.raises(StoreUnavailable):
            runner.call(PLAN, tried([AWAY]))
        assert slept == [], "nothing is done yet: whoever looks on is told at once"
    with plain_runner(said.append, patient=True, wait=slept.append) as runner:
        assert runner.call(PLAN, tried([AWAY])) == 2


def test_a_run_of_little_starts_nothing(s3_server: S3Server, tmp_path: Path) -> None:
    """The command, as a person types it: pictures in, and again with nothing to do."""
    for number in range(3):
        s3_server.client().put_object(
            Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number)
        )
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "def ended(status):\n"
        f"    print('imported:', *(name for name in {HEAVY} if name in sys.modules))\n"
        "    sys.exit(status)\n"
        "main.exit_with = ended\n"
        "main.main()\n"
    )
    words = ["run", "--bucket", "media", "--endpoint-url", s3_server.url]
    words += ["--encoder", "imagebind-demo", "--set", f"index.path={tmp_path / 'qdrant'}"]
    words += ["--state", str(tmp_path / "state")]

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": python_path(*sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = run()
    assert "indexed" in first
    assert first.splitlines()[-1] == "imported: torch qdrant_client"
    s3_server.requests.clear()
    again = run()
    assert "unchanged  3" in again
    assert again.splitlines()[-1] == "imported:"
    assert s3_server.count("GET") == 0
    settings = settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo")
    with open_index(settings.index) as index:
        assert index.count() == 3


def test_garbage_is_looked_for_seldom_while_it_runs_and_as_before_thereafter(
    s3_server: S3Server, tmp_path: Path
) -> None:
    """Prefect's process and an application begin with Python's own threshold."""
    s3_server.client().put_object(Bucket="media", Key="0.jpg", Body=media_files.jpeg(0))
    settings = settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo")
    before = gc.get_threshold()
    seen: list[int] = []

    class PlannedError(Exception):
        """Enough was seen."""

    def planned(_: object) -> None:
        seen.append(gc.get_threshold()[0])
        raise PlannedError

    gc.set_threshold(700, 10, 10)
    try:
        with pytest.raises(PlannedError):
            run_index(settings, on_plan=planned)
        assert seen == [OBJECTS_BETWEEN_COLLECTIONS]
        assert gc.get_threshold() == (700, 10, 10)
        gc.set_threshold(0, 10, 10)  # not at all
        with pytest.raises(PlannedError):
            run_index(settings, on_plan=planned)
        assert seen[-1] == 0
    finally:
        gc.set_threshold(*before)


def test_a_run_that_another_overtook_writes_nothing_and_may_be_called_again(
    s3_server: S3Server, tmp_path: Path
) -> None:
    s3_server.client().put_object(Bucket="media", Key="0.jpg", Body=media_files.jpeg(0))
    settings = settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo")
    others: list[RunReport] = []

    def meanwhile(_: object) -> None:
        others.append(run_index(settings))

    with pytest.raises(StateMoved, match="Another run wrote the state"):
        run_index(settings, on_plan=meanwhile)
    status = read_status(settings)
    assert (status.run_id, status.lease_holder) == (others[0].run_id, None)
    assert status.unfinished_runs == 0
    assert len(list((tmp_path / "state/runs").iterdir())) == 1
    again = run_index(settings)
    assert again.bytes_fetched == 0
    assert again.objects_by_action == {"unchanged": 1}


def test_a_load_that_fails_ends_the_run_and_the_next_goes_on(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was embedded before is committed, and is not embedded again."""
    from pipeline.index.vector_index import VectorIndex

    for number in range(4):
        s3_server.client().put_object(
            Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number)
        )
    settings = settings_for(
        tmp_path, s3_server.url, encode__encoder="imagebind-demo", state__shard_objects=2
    )

    def full(*_: Any, **__: Any) -> None:
        raise BucketNotFound("a fault that no retry helps")

    with monkeypatch.context() as fault:
        fault.setattr(VectorIndex, "flip", full)
        with pytest.raises(BucketNotFound):
            run_index(settings)
    s3_server.requests.clear()
    report = run_index(settings)
    assert dict(report.objects_by_status) == {"indexed": 4}
    assert report.recovered_objects == 2
    assert s3_server.count("GET") == 2
    assert report.points_in_index == 4
