"""Servers that are killed, held up and brought back while they are loaded and read."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import IndexUnavailable
from pipeline.ids import asset_id
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.run.step_runner import LOAD, plain_runner
from tests.server.nodes import settings_of
from tests.server.readers import Seen, load_alike, reading
from tests.support.invented_assets import SPACES
from tests.support.real_qdrant import QdrantNode, QdrantNodes

SEGMENTS = {f"{n}.mp4": 50 for n in range(20)} | {"film.mp4": 3_000}
AWAY_S = 1.0


def load_until_it_is_done(index: VectorIndex, folder: Path, generation: str, sequence: int) -> int:
    """As a run loads a shard, with its retries; how many tries came to nothing."""
    tries = 0

    def load() -> None:
        nonlocal tries
        tries += 1
        load_alike(index, folder, SEGMENTS, generation, sequence)

    for _ in range(10):
        try:
            with plain_runner(lambda _: None, wait=lambda _: time.sleep(0.5)) as runner:
                runner.call(LOAD, load)
            return tries - 1
        except IndexUnavailable:  # the next run
            continue
    raise AssertionError("it cannot be loaded")


def killed_while(node: QdrantNode, work: Callable[[], int], after_s: float) -> int:
    """Kill the node so long after the work began, and start it again."""

    def strike() -> None:
        time.sleep(after_s)
        node.kill()
        time.sleep(AWAY_S)
        node.start()

    killer = threading.Thread(target=strike)
    killer.start()
    try:
        return work()
    finally:
        killer.join()


def all_is_as_after_a_clean_load(index: VectorIndex, generation: str) -> None:
    until = time.monotonic() + 5
    while not _answers(index):  # gRPC looks for a server that was away once a second
        assert time.monotonic() < until
        time.sleep(0.1)
    assert set(index.generations(_assets()).values()) == {generation}
    wanted = sum(SEGMENTS.values())
    assert (index.count(), index.count(live_only=False)) == (wanted, wanted)
    assert index.count_assets() == len(SEGMENTS)


def _answers(index: VectorIndex) -> bool:
    try:
        return index.exists()
    except IndexUnavailable:
        return False


def _assets() -> list[str]:
    return [asset_id("media", key) for key in SEGMENTS]


@pytest.mark.timeout(900)
def test_a_server_killed_in_the_middle_of_loads_loses_nothing(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    settings = settings_of(node, grpc=grpc)
    moments = random.Random(int(grpc))
    disturbed = 0
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_alike(index, tmp_path, SEGMENTS, "g0", 1)
        began = time.perf_counter()
        load_alike(index, tmp_path, SEGMENTS, "g1", 2)
        takes_s = time.perf_counter() - began
        with reading(settings, SEGMENTS, 1) as seen:
            for number in range(3, 15):
                generation = f"g{number % 2}"

                def work(generation: str = generation, number: int = number) -> int:
                    return load_until_it_is_done(index, tmp_path, generation, number)

                tries = killed_while(node.nodes[0], work, moments.uniform(0.0, takes_s))
                disturbed += tries > 0
                all_is_as_after_a_clean_load(index, generation)
    _judge(seen, f"12 kills, {disturbed} in a load")
    assert disturbed >= 3


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_node_of_three_is_lost_and_comes_back(
    three_nodes: QdrantNodes, which: int, tmp_path: Path
) -> None:
    """Spoken to is another node than that which dies; one of them leads."""
    settings = settings_of(three_nodes, spoken_to=(which + 1) % 3)
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_alike(index, tmp_path, SEGMENTS, "g0", 1)
        with reading(settings, SEGMENTS, 1) as seen:
            for number in range(2, 6):
                generation = f"g{number % 2 + 1}"

                def work(generation: str = generation, number: int = number) -> int:
                    return load_until_it_is_done(index, tmp_path, generation, number)

                killed_while(three_nodes.nodes[which], work, 0.3)
                all_is_as_after_a_clean_load(index, generation)
    _judge(seen, f"node {which} killed 4 times")


@pytest.mark.timeout(300)
def test_a_server_that_holds_still_is_waited_for(
    node: QdrantNodes, grpc: bool, tmp_path: Path
) -> None:
    settings = settings_of(node, grpc=grpc).model_copy(update={"timeout_s": 3})
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_alike(index, tmp_path, SEGMENTS, "g0", 1)
        node.nodes[0].hold()
        threading.Timer(8.0, node.nodes[0].go_on).start()
        assert load_until_it_is_done(index, tmp_path, "g1", 2) > 0
        all_is_as_after_a_clean_load(index, "g1")


def _judge(seen: list[Seen], what: str) -> None:
    total = sum(seen, Seen())
    print(
        f"{what}: {total.reads:,} reads, {total.refused} refused, {len(total.gaps)} gaps, "
        f"{len(total.twice)} double"
    )
    assert total.reads > 50
    assert (total.gaps[:5], total.twice[:5]) == ([], [])
