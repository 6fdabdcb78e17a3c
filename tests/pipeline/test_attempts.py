"""Which work is suspected of a worker's death, and what another graph takes up; without Ray."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import pytest

from pipeline.embed.attempts import Attempts
from pipeline.embed.pool_sizes import Pools, decode_share, encoders_per_gpu, fitting
from pipeline.embed.rounds import GraphBroken, ShardsMissing, StageNotStarted, until_committed
from pipeline.records import ShardReceipt

NODES = {"a", "b"}


def test_a_death_on_a_living_node_is_counted_and_a_lost_node_is_not() -> None:
    living = set(NODES)
    book = Attempts(lambda: living)
    assert book.begin("batch", "a").kills == 0
    assert book.begin("batch", "b").kills == 1
    living.discard("b")
    assert book.begin("batch", "a").kills == 1
    book.end("batch")
    assert book.begin("batch", "a").kills == 1


def test_batches_become_smaller_once_for_each_that_killed() -> None:
    book = Attempts(lambda: NODES)
    for _ in range(4):
        book.begin("one", "a", batch=True)
    assert book.begin("two", "a", batch=True).halvings == 1
    assert book.begin("two", "a", batch=True).halvings == 2


def test_what_a_graph_had_under_way_has_killed_nobody() -> None:
    book = Attempts(lambda: NODES)
    book.begin("batch", "a")
    book.begin_graph()
    assert book.begin("batch", "a").kills == 0


def receipt(shard: int, segments: int = 1) -> ShardReceipt:
    return ShardReceipt("run", 1, shard, None, None, segments, ())


class Cluster:
    """A `Rounds`: shards in `poison` break the graph that has them, those in `unheard` are
    committed and their receipts lost; with `sick` no graph begins."""

    def __init__(
        self, *, poison: Collection[int] = (), unheard: Collection[int] = (), sick: bool = False
    ) -> None:
        self.poison, self.unheard, self.sick = set(poison), set(unheard), sick
        self.graphs: list[set[int]] = []
        self.failed: list[int] = []

    def run(self, shards: Collection[int]) -> Iterator[ShardReceipt]:
        self.graphs.append(set(shards))
        if self.sick:
            raise GraphBroken("no actor starts")
        for shard in sorted(shards):
            if shard in self.poison:
                raise GraphBroken("a worker died")
            if shard not in self.unheard:
                yield receipt(shard)

    def committed(self, shards: Collection[int]) -> Iterable[ShardReceipt]:
        return [receipt(shard) for shard in shards if shard in self.unheard]

    def begun(self) -> Collection[int]:
        return () if self.sick else self.graphs[-1]

    def fail(self, shard: int, why: GraphBroken | None) -> ShardReceipt:
        del why
        self.failed.append(shard)
        return receipt(shard, 0)


def test_a_shard_that_ends_three_graphs_is_failed_and_the_rest_goes_on() -> None:
    cluster = Cluster(poison={2})
    said: list[str] = []
    came = list(until_committed(range(5), cluster, said.append))
    assert sorted(r.shard for r in came) == [0, 1, 2, 3, 4]
    assert cluster.failed == [2]
    # The last of its three graphs it had for itself, so it is to blame, and no other.
    assert [graph for graph in cluster.graphs if 2 in graph][-1] == {2}
    assert len([graph for graph in cluster.graphs if 2 in graph]) == 3
    assert any("embedding them again" in words for words in said)


def test_a_receipt_that_was_lost_on_its_way_is_not_made_again() -> None:
    cluster = Cluster(unheard={1})
    assert sorted(r.shard for r in until_committed(range(3), cluster, print)) == [0, 1, 2]
    assert len(cluster.graphs) == 1


def test_a_cluster_that_cannot_work_ends_the_run_and_fails_nothing() -> None:
    cluster = Cluster(sick=True)
    with pytest.raises(GraphBroken, match="no actor starts"):
        list(until_committed(range(300), cluster, print))
    assert cluster.failed == []
    assert len(cluster.graphs) <= 3


def test_a_stage_that_cannot_be_started_is_held_against_no_shard() -> None:
    class Unstartable(Cluster):
        def run(self, shards: Collection[int]) -> Iterator[ShardReceipt]:
            self.graphs.append(set(shards))
            raise StageNotStarted("no library")
            yield

    cluster = Unstartable()  # whose decoders have begun with the shard
    with pytest.raises(StageNotStarted, match="no library"):
        list(until_committed([7], cluster, print))
    assert cluster.failed == []
    assert len(cluster.graphs) == 3


def test_a_graph_that_ends_and_forgets_its_shards_is_an_error_in_the_end() -> None:
    class Forgetful(Cluster):
        def run(self, shards: Collection[int]) -> Iterator[ShardReceipt]:
            self.graphs.append(set(shards))
            yield from ()

        def begun(self) -> Collection[int]:
            return ()

    with pytest.raises(ShardsMissing, match="2 of 2 shards"):
        list(until_committed(range(2), Forgetful(), print))


@pytest.mark.parametrize(
    ("cpus", "gpus", "wanted"),
    [
        (8, None, Pools(3, 1, False, most_decoders=3, most_encoders=2)),
        (4, None, Pools(1, 1, False, most_decoders=3, most_encoders=2)),
        (2, None, Pools(1, 1, False, most_decoders=1, most_encoders=1)),
        (1, None, Pools(1, 1, False, 0.5)),
        (2, 1, Pools(2, 1, True)),
    ],
)
def test_pools_fit_what_is_left(cpus: float, gpus: int | None, wanted: Pools) -> None:
    assert fitting(3, 2, cpus=cpus, gpus=gpus) == wanted


@pytest.mark.parametrize(
    ("cpus", "gpus", "wanted"),
    [
        (16, None, Pools(6, 2, False, most_decoders=14, most_encoders=10)),
        (64, 16, Pools(64, 16, True, 1.0, 4)),
        (64, 64, Pools(64, 64, True, 1.0, 8)),
        (64, 8, Pools(64, 8, True, 1.0, 2)),
        (64, 4, Pools(64, 4, True)),
        (4, None, Pools(1, 1, False, most_decoders=3, most_encoders=3)),
        (2, None, Pools(1, 1, False, most_decoders=1, most_encoders=1)),
        (1, None, Pools(1, 1, False, 0.5)),
        (16, 2, Pools(16, 2, True)),
        (1, 1, Pools(1, 1, True)),
    ],
)
def test_pools_take_what_there_is(cpus: float, gpus: int | None, wanted: Pools) -> None:
    assert fitting(0, 0, cpus=cpus, gpus=gpus, writer_cores=8) == wanted


@pytest.mark.parametrize("cpus", [2, 3, 5, 16, 61])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.75, 0.99])
def test_what_a_graph_begins_with_always_has_room(cpus: int, share: float) -> None:
    pools = fitting(0, 0, cpus=cpus, gpus=None, share=share)
    assert pools.decoders + pools.encoders <= cpus
    assert pools.most_decoders + pools.encoders <= cpus
    assert pools.most_encoders + pools.decoders <= cpus
    assert cpus < 5 or (pools.decoders > pools.encoders) == (share > 0.5)
    few = fitting(2, 1, cpus=cpus, gpus=None, share=share)
    assert (few.decoders <= few.most_decoders <= 2, few.most_encoders) == (True, 1)


def test_the_kinds_of_media_say_which_stage_takes_the_work() -> None:
    films = [decode_share(10, 10**9, s, "sensedex-mini") for s in ("exact", "keyframes")]
    pictures = decode_share(1000, 10**8, "exact", "sensedex-mini")
    assert films[0] > 0.9 > films[1] > 0.75 > 0.5 > pictures
    assert decode_share(1000, 10**8, "exact", "imagebind-huge") == 0.75


def test_small_encoders_share_a_gpu() -> None:
    shares = [encoders_per_gpu(size) for size in (25 * 10**6, 10**9, 5 * 10**9, None)]
    assert shares == [4, 3, 1, 1]
    pools = fitting(0, 0, cpus=64, gpus=8, writer_cores=8, per_gpu=4)
    assert pools == Pools(64, 32, True, writers=2, gpus_each=0.25)
    assert fitting(0, 6, cpus=64, gpus=8, writer_cores=8, per_gpu=4).gpus_each == 1
    with pytest.raises(ValueError, match="4 to 2"):
        Pools(4, 1, False, most_decoders=2)
