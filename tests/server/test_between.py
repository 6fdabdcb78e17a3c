"""What stands between us and a server: a line that is slow, a proxy that has it under a path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.errors import IndexUnavailable, SensedexError
from pipeline.ids import anchor_id, asset_id
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.run.step_runner import LOAD, plain_runner
from pipeline.settings_index import IndexSettings
from tests.server.nodes import settings_of
from tests.support.invented_assets import SPACES, live, load, rows_of, whole
from tests.support.path_proxy import under_path
from tests.support.real_qdrant import QdrantNodes
from tests.support.server_door import Door, door_before

pytestmark = pytest.mark.server  # doors and proxies are servers of the test's own
TIMEOUT_S = 2  # for the 30 s and more of a server that is overloaded, beside 60 of ours
FILMS = [(f"{n}.mp4", "g1", 5) for n in range(4)]


@contextmanager
def by_way_of_a_door(nodes: QdrantNodes, *, grpc: bool) -> Iterator[tuple[Door, IndexSettings]]:
    """The door is before the interface that loads and searches go by."""
    first = nodes.nodes[0]
    settings = settings_of(nodes, grpc=grpc).model_copy(update={"timeout_s": TIMEOUT_S})
    behind = f"http://127.0.0.1:{first.grpc_port}" if grpc else first.url
    with door_before(behind) as door:
        changed = {"grpc_port": urlsplit(door.url).port} if grpc else {"url": door.url}
        yield door, settings.model_copy(update=changed)


def load_with_tries(index: VectorIndex, folder: Path, sequence: int) -> int:
    """As a run does; how many tries came to nothing."""
    tries = 0

    def once() -> None:
        nonlocal tries
        tries += 1
        load(index, folder, [(key, f"g{sequence}", n) for key, _, n in FILMS], sequence)

    with plain_runner(lambda _: None, wait=lambda _: None) as runner:
        runner.call(LOAD, once)
    return tries - 1


def all_is_there_once(nodes: QdrantNodes, generation: str) -> None:
    with open_index(settings_of(nodes)) as index:
        assert live(index) == {key: whole(generation, n) for key, _, n in FILMS}
        wanted = sum(n for _, _, n in FILMS)
        assert (index.count(), index.count(live_only=False)) == (wanted, wanted)
        assert index.count_assets() == len(FILMS)


def test_a_server_that_takes_its_time_gets_all_of_it_once(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    with by_way_of_a_door(node, grpc=grpc) as (door, settings):
        door.answers_after_s = 0.1
        with open_index(settings) as index:
            index.ensure_collection(SPACES)
            for sequence in (1, 2):
                assert load_with_tries(index, tmp_path, sequence) == 0
    all_is_there_once(node, "g2")


def test_a_server_slower_than_we_wait_is_one_sentence_and_nothing_is_doubled(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    with by_way_of_a_door(node, grpc=grpc) as (door, settings):
        with open_index(settings) as index:
            index.ensure_collection(SPACES)
            load_with_tries(index, tmp_path, 1)
            door.answers_after_s = 1.5 * TIMEOUT_S
            with pytest.raises(IndexUnavailable) as raised:
                load(index, tmp_path, [(key, "g2", n) for key, _, n in FILMS], 2)
            _is_one_sentence(raised.value)
            with pytest.raises(IndexUnavailable) as raised, open_index(settings):
                pass
            _is_one_sentence(raised.value)
        door.answers_after_s = 0.0
        with open_index(settings_of(node)) as reader:
            assert live(reader) in (
                {key: whole("g1", n) for key, _, n in FILMS},
                {key: whole("g2", n) for key, _, n in FILMS},
            )
        with open_index(settings) as index:
            load_with_tries(index, tmp_path, 2)
    all_is_there_once(node, "g2")


def _is_one_sentence(error: SensedexError) -> None:
    assert error.code == "index_timed_out", error
    assert "did not finish in time" in error.message
    assert "\n" not in error.message


def test_a_server_that_is_slow_for_a_while_is_tried_again(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    with by_way_of_a_door(node, grpc=grpc) as (door, settings), open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_with_tries(index, tmp_path, 1)
        door.answers_after_s = 1.5 * TIMEOUT_S

        def quick_again() -> None:
            door.answers_after_s = 0.0

        timer = threading.Timer(2.5 * TIMEOUT_S, quick_again)
        timer.start()
        assert load_with_tries(index, tmp_path, 2) > 0
        timer.join()
    all_is_there_once(node, "g2")


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.remove([asset_id("media", "gone.mp4")], 3),
        lambda index: index.points().delete(
            [anchor_id(asset_id("media", "gone.mp4"))]
            + [row.point_id for row in rows_of("gone.mp4", "g1", 3)]
        ),
    ],
    ids=["removal", "by ids"],
)
def test_a_deletion_whose_answer_comes_late_is_done_once(
    node: QdrantNodes, grpc: bool, tmp_path: Path, change: Callable[[VectorIndex], None]
) -> None:
    with by_way_of_a_door(node, grpc=grpc) as (door, settings), open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_with_tries(index, tmp_path, 1)
        load(index, tmp_path, [("gone.mp4", "g1", 3)], 2)
        door.answers_after_s = 1.5 * TIMEOUT_S

        def quick_again() -> None:
            door.answers_after_s = 0.0

        timer = threading.Timer(1.5 * TIMEOUT_S, quick_again)
        timer.start()
        change(index)
        timer.join()
    all_is_there_once(node, "g1")


def test_a_proxy_that_has_it_under_a_path(node: QdrantNodes, grpc: bool, tmp_path: Path) -> None:
    """By REST all goes through it; by gRPC, which has no such paths, what gRPC cannot do."""
    settings = settings_of(node, grpc=grpc)
    with under_path(node.nodes[0].url, "/search/qdrant") as url:
        behind = settings.model_copy(update={"url": url})
        with open_index(behind) as index:
            index.ensure_collection(SPACES)
            assert load_with_tries(index, tmp_path, 1) == 0
            assert load_with_tries(index, tmp_path, 2) == 0
            assert live(index) == {key: whole("g2", n) for key, _, n in FILMS}
        wrong = settings.model_copy(update={"url": url.replace("/search/", "/other/")})
        if not grpc:
            with pytest.raises(SensedexError, match="no such path") as raised, open_index(wrong):
                pass
            assert "\n" not in raised.value.message
    all_is_there_once(node, "g2")
