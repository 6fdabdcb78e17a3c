"""Whole runs that write to a real server and are killed, overtaken in their sleep, or lose that
server. The quick part of `python -m tests.chaos.on_server`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.accidents import late_riser, server_away
from tests.chaos.host import Host
from tests.chaos.kills import attempt
from tests.chaos.points import Kind, point_named
from tests.chaos.scene import Scene
from tests.server.nodes import settings_of, started
from tests.support.real_qdrant import QdrantNodes
from tests.support.s3_server import S3Server, reset_moto

WAYS = [(1, "grpc"), (1, "rest"), (3, "grpc"), (3, "rest")]


@pytest.fixture(
    scope="module", params=WAYS, ids=[f"{'one node' if n == 1 else 'three'}, {w}" for n, w in WAYS]
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scene, QdrantNodes]]:
    count, way = request.param
    folder = tmp_path_factory.mktemp("chaos")
    with (
        pytest.MonkeyPatch.context() as patch,
        Host() as host,
        started(folder / "nodes", count) as nodes,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", "chaos")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "chaos")
        s3 = S3Server()
        reset_moto(s3.url)
        s3.client().create_bucket(Bucket="media")
        index = settings_of(nodes, grpc=way == "grpc")
        yield Scene(s3, host, folder / "scene", objects=24, index=index), nodes
        s3.stop()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["upsert on its way", "flip on its way"])
def test_a_killed_run_loses_and_doubles_nothing(
    made: tuple[Scene, QdrantNodes], point: str
) -> None:
    scene, _ = made
    done = attempt(scene, point_named(point, grpc=scene.by_grpc), 1)
    assert done.clean, done
    assert done.reads > 10, "the reader read while the runs went"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["upsert on its way", "flip on its way"])
def test_a_run_that_is_overtaken_in_its_sleep_changes_nothing(
    made: tuple[Scene, QdrantNodes], point: str
) -> None:
    scene, _ = made
    done = late_riser(scene, point, 1, 0, Kind.FOLDER)
    assert done.clean, done
    assert done.reads > 10


@pytest.mark.timeout(900)
def test_a_run_goes_on_when_a_node_is_back(made: tuple[Scene, QdrantNodes]) -> None:
    """Of three it is one that the run does not speak to."""
    scene, nodes = made
    done = server_away(scene, nodes.nodes[-1], "flip on its way", 1, 0)
    assert done.clean, done
    assert done.reads > 10
