"""A Qdrant that is killed while it writes, on disk and in a process of its own: the run under way
fails as it says, the next one makes what a clean one makes, and a reader sees nothing of it.

The quick part: the stages in this process. Real runs, and kills of all else: `make chaos`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import IndexUnavailable
from pipeline.index.vector_index import open_index
from pipeline.run.step_runner import LOAD, plain_runner
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from tests.chaos.qdrant_process import QdrantProcess
from tests.chaos.reading import Live, Points, everything, judge, live_now, same
from tests.chaos.real_run import Family
from tests.chaos.witness import Witness
from tests.support import media_files
from tests.support.free_port import free_port
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

OBJECTS = 12
settings_of = partial(
    settings_for,
    encode__encoder="imagebind-demo",
    index__prefer_grpc=False,
    index__upsert_points=4,
    state__shard_objects=4,
)


def seen_in(settings: Settings) -> tuple[Live, Points]:
    with open_index(settings.index) as index:
        return live_now(index), everything(index)


@pytest.mark.parametrize("engine", ["local", "edge"])
def test_qdrant_killed_in_an_upsert(
    engine: str,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    client = s3_server.client()
    for number in range(OBJECTS):
        body = media_files.jpeg(number)
        client.put_object(Bucket="media", Key=f"{number:02d}.jpg", Body=body)
    clean = QdrantProcess(tmp_path / "clean", free_port(), engine)
    struck = QdrantProcess(tmp_path / "struck", free_port(), engine)
    try:
        clean.start()
        struck.start()
        ours = settings_of(tmp_path / "ours", s3_server.url, index__url=struck.url)
        theirs = settings_of(tmp_path / "theirs", s3_server.url, index__url=clean.url)
        run_index(ours, RunOptions())
        before, _ = seen_in(ours)
        for number in range(0, OBJECTS, 2):
            body = media_files.jpeg(100 + number)
            client.put_object(Bucket="media", Key=f"{number:02d}.jpg", Body=body)
        run_index(theirs, RunOptions())
        after, wanted = seen_in(theirs)

        witness = Witness(ours.index)
        waits: list[str] = []
        with witness.watching():
            struck.arm("upsert")
            with (
                plain_runner(waits.append, wait=lambda _: None) as runner,
                pytest.raises(IndexUnavailable, match="cannot be reached"),
            ):
                run_index(ours, runner=runner)
            said = [line for line in waits if line.startswith("load: ")]
            assert "upserting" in said[0]
            assert len(said) == len(LOAD.retry_delays_s), "it is tried again, and says so"
            assert struck.wait_dead(20)
            struck.start()
            run_index(ours, RunOptions())
        live, points = seen_in(ours)
    finally:
        clean.stop()
        struck.stop()
    assert same(points, wanted)
    whole = {a: {**before.get(a, {}), **after[a]} for a in after}
    assert judge([*witness.seen, live], whole, set(before) & set(after)).clean
    assert witness.reads > 2


@pytest.mark.server
def test_the_real_engine_killed_while_it_builds_its_graph(tmp_path: Path) -> None:
    """What was acknowledged before is there after, and the next writes go on."""
    from qdrant_client import QdrantClient
    from qdrant_client import models as q

    server = QdrantProcess(tmp_path, free_port(), "edge")
    server.start()
    client = QdrantClient(url=server.url, check_compatibility=False)
    vectors = {"v": q.VectorParams(size=128, distance=q.Distance.COSINE)}
    client.create_collection("c", vectors_config=vectors)
    points = [
        q.PointStruct(id=n, vector={"v": [float((n * k) % 17 + 1) for k in range(128)]}, payload={})
        for n in range(500)
    ]
    client.upsert("c", points[:50], wait=True)
    acknowledged = 50
    server.arm("optimize")
    for start in range(50, 500, 50):
        try:
            client.upsert("c", points[start : start + 50], wait=True)
        except Exception:  # noqa: BLE001  the server died under it: not acknowledged
            break
        acknowledged = start + 50
    assert server.wait_dead(20)
    server.start()
    try:
        assert client.count("c").count >= acknowledged
        client.upsert("c", points, wait=True)
        assert client.count("c").count == 500
    finally:
        server.stop()


def test_a_family_knows_who_outlived_it() -> None:
    """The look at what is left must be able to find something."""
    import subprocess
    import sys

    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        family = Family(parent.pid)
        parent.wait(20)
    assert family.left(within_s=0.5) == ["sleep 60"]
    assert family.left() == []  # killed, and on a busy machine some time later gone
