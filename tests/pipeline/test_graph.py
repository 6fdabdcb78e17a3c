"""What the graph makes of processes of its own that die. Whole runs: `tests.chaos.disasters`, and
`tests/integration/test_cluster.py`."""

from __future__ import annotations

import gc
import io
import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from PIL import Image
from ray._private.log import PlainRayHandler

from encoders.errors import BrokenInstall
from pipeline.embed.decode_tasks import DecodeTask, TaskSize, decode_tasks
from pipeline.embed.graph import configure_ray_data
from pipeline.embed.job import EmbedJob
from pipeline.embed.rounds import FRUITLESS, StageNotStarted
from pipeline.garbage import OBJECTS_BETWEEN_COLLECTIONS
from pipeline.models.spaces import spaces_of
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.records import Status
from pipeline.state.receipts import RunFolder
from tests.support import media_files
from tests.support.deadly_job import CARD, DeadlyJob, RefusedJob, SlowJob, UnfinishedJob
from tests.support.known_bucket import planned
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server, fill


@pytest.mark.usefixtures("ray_running")
def test_a_worker_looks_for_garbage_seldom() -> None:
    import ray

    found = ray.get(ray.remote(lambda: gc.get_threshold()[0]).remote())
    assert found == OBJECTS_BETWEEN_COLLECTIONS


@pytest.mark.usefixtures("ray_running")
def test_a_lost_board_stops_the_telling_and_not_the_run() -> None:
    import ray

    from pipeline.embed.progress_actor import ProgressBoard

    board = ProgressBoard()
    seen = []
    with board.followed_by(seen.append, every_s=0.05):
        ray.get(board.handle.add.remote(Stage.DECODE, StageProgress(objects=3)))
        while not seen:
            time.sleep(0.01)
        ray.kill(board.handle)
    assert all(stages.get(Stage.DECODE, StageProgress(3)).objects == 3 for stages in seen)


@pytest.mark.usefixtures("ray_running")
@pytest.mark.parametrize(("writers", "lost"), [(1, {0, 1}), (2, {1})], ids=["one", "two"])
def test_what_kills_its_worker_is_left_out_and_what_a_lost_writer_had_is_made_again(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writers: int,
    lost: set[int],
) -> None:
    from pipeline.embed import graph
    from pipeline.embed.pool_sizes import Pools

    black = io.BytesIO()
    Image.new("RGB", (320, 240)).save(black, "JPEG")
    objects = {f"{number}.jpg": media_files.jpeg(number) for number in range(6)}
    fill(s3_server, objects | {"5.jpg": black.getvalue()})
    settings = settings_for(
        tmp_path, s3_server.url, encode__encoder="imagebind-demo", encode__batch_size=4,
        state__shard_objects=3, decode__processes=1, encode__processes=1,
    )  # fmt: skip
    made = planned(settings, tmp_path)
    job = DeadlyJob(settings, RunFolder(1, "r"), spaces_of([CARD]), dict(made.objects_by_shard))

    job.open_store().put_file(job.run.plan, made.path)

    def of_two(plan: Path, shards: Collection[int], _: TaskSize) -> Iterator[DecodeTask]:
        asked.append(sorted(shards))
        return decode_tasks(plan, shards, TaskSize(2, 2**30))

    # A writer gets two objects at a time, or four where the decoder is quick, and dies when it has
    # some and more come of shard 1: of one writer the first shard is lost, or the second if the
    # first was whole by then; of two the second.
    monkeypatch.setattr(graph, "decode_tasks", of_two)
    monkeypatch.setattr(graph, "pools_for", lambda *_: Pools(1, 1, False, writers=writers))
    asked: list[list[int]] = []
    receipts = list(graph.receipts_by_ray(job, made.path, ProgressReporter()))
    assert sorted(receipt.shard for receipt in receipts) == [0, 1]
    outcomes = {o.key: o for receipt in receipts for o in receipt.outcomes}
    assert {key for key, o in outcomes.items() if o.status is Status.INDEXED} == {
        f"{number}.jpg" for number in range(5)
    }
    failure = outcomes["5.jpg"].failure
    assert failure is not None
    assert (failure.stage, failure.code, failure.retryable) == ("encode", "kills_worker", True)
    assert len(asked) == 2
    assert asked[0] == [0, 1]
    assert len(asked[1]) == 1
    assert lost.issuperset(asked[1])


@pytest.mark.usefixtures("ray_running")
def test_a_pool_grows_while_its_stage_lags(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.embed import graph
    from pipeline.embed.pool_sizes import Pools

    fill(s3_server, {f"{number:02}.jpg": media_files.jpeg(number % 4) for number in range(48)})
    settings = settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo")
    made = planned(settings, tmp_path)
    job = SlowJob(settings, RunFolder(1, "r"), spaces_of([CARD]), dict(made.objects_by_shard))
    job.open_store().put_file(job.run.plan, made.path)
    monkeypatch.setattr(graph, "task_size", lambda *_: TaskSize(1, 2**30))
    monkeypatch.setattr(graph, "pools_for", lambda *_: Pools(1, 1, False, 0.3, most_decoders=3))
    reporter = ProgressReporter()
    receipts = list(graph.receipts_by_ray(job, made.path, reporter))
    assert sum(len(receipt.outcomes) for receipt in receipts) == 48
    assert reporter.workers[Stage.DECODE] > 1
    assert reporter.workers[Stage.ENCODE] == 1


@pytest.mark.usefixtures("ray_running")
@pytest.mark.parametrize(
    ("refused", "error", "says", "patience"),
    [
        (RefusedJob, BrokenInstall, r"^A library does not load\. Install its pair\.$", FRUITLESS),
        (UnfinishedJob, StageNotStarted, "started: ZeroDivisionError: of nobody's making", 1),
    ],
    ids=["ours", "another"],
)
def test_an_encoder_that_is_not_to_be_had_is_named(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: type[EmbedJob],
    error: type[Exception],
    says: str,
    patience: int,
) -> None:
    """Ours at once: each round is a start of actors, and the next would raise it again."""
    from pipeline.embed import graph, rounds

    fill(s3_server, {"1.jpg": media_files.jpeg(1)})
    settings = settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo")
    made = planned(settings, tmp_path)
    job = refused(settings, RunFolder(1, "r"), spaces_of([CARD]), dict(made.objects_by_shard))
    job.open_store().put_file(job.run.plan, made.path)
    asked: list[Collection[int]] = []

    def counted(plan: Path, shards: Collection[int], size: TaskSize) -> Iterator[DecodeTask]:
        asked.append(shards)
        return decode_tasks(plan, shards, size)

    monkeypatch.setattr(graph, "decode_tasks", counted)
    monkeypatch.setattr(rounds, "FRUITLESS", patience)
    with pytest.raises(error, match=says):
        list(graph.receipts_by_ray(job, made.path, ProgressReporter()))
    assert len(asked) == 1


def test_who_else_listens_to_ray_data_keeps_his_level() -> None:
    mine = logging.StreamHandler()
    logger = logging.getLogger("ray.data")
    logger.addHandler(mine)
    try:
        configure_ray_data()
    finally:
        logger.removeHandler(mine)
    assert mine.level == logging.NOTSET
    (screen,) = [h for h in logger.handlers if isinstance(h, PlainRayHandler)]
    assert screen.level == logging.CRITICAL


def test_what_a_session_gives_and_raises_comes_through() -> None:
    from pipeline.embed.ray_session import while_ray_lives

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("of the items")

    drawn = while_ray_lives(items())
    assert [next(drawn), next(drawn)] == [1, 2]
    with pytest.raises(ValueError, match="of the items"):
        next(drawn)
    assert list(while_ray_lives([])) == []


SESSION = """
import time
import psutil
from pipeline.embed.ray_session import RayDied, exit_with, ray_session, while_ray_lives
from pipeline.settings import Settings

def items():
    import ray
    yield ray.get(ray.put(1))
    time.sleep(600)

with ray_session(Settings()):
    try:
        for item in while_ray_lives(items()):
            for child in psutil.Process().children(recursive=True):
                if "raylet/raylet" in " ".join(child.cmdline()):
                    child.kill()
    except RayDied as error:
        print(error)
exit_with(5)
"""


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_dead_raylet_is_named(root_dir: Path) -> None:
    """Ray alone would end the process, without a word."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=root_dir, env=kept, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert "Ray's raylet died. Run again" in done.stdout, done.stderr[-2000:]
    assert done.returncode == 5, done.stderr[-2000:]
