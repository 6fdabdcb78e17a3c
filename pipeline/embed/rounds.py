"""Rounds of a run: one graph after the other, until what lost workers cost is made up for.

A shard that had begun and has no receipt when its graph breaks or ends gets a strike. With two it
is taken for a suspect and gets a graph of its own, after all others; with the third it is failed.
A graph that broke because a stage could not be started is held against none.
Where nothing comes of several graphs in a row it is the cluster, not a shard: the run ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from pipeline.errors import Transient
from pipeline.records import ShardReceipt

STRIKES = 3
# Points: a graph of which nothing came counts one, and two where it did not even begin.
FRUITLESS = 5


class GraphBroken(Transient):
    """Ray itself failed (an actor or a node died). What was committed is kept; run again."""

    default_code = "graph_broken"


class StageNotStarted(GraphBroken):
    """An actor of a stage raised as it was made: no shard's fault."""


class ShardsMissing(Transient):
    """The graph ended without a receipt for every shard; what is committed is kept."""

    default_code = "shards_missing"


class Rounds(Protocol):
    """What a round needs. `fail` commits a receipt that says of each object of the shard that it
    failed."""

    def run(self, shards: Collection[int]) -> Iterator[ShardReceipt]: ...

    def committed(self, shards: Collection[int]) -> Iterable[ShardReceipt]:
        """Receipts of these that are in the state, whether or not they came through the graph."""
        ...

    def begun(self) -> Collection[int]:
        """The shards of which a decoder had something in the latest graph."""
        ...

    def fail(self, shard: int, why: GraphBroken | None) -> ShardReceipt: ...


def until_committed(
    shards: Collection[int], rounds: Rounds, say: Callable[[str], None]
) -> Iterator[ShardReceipt]:
    """A receipt for each of the shards. Raises GraphBroken, or ShardsMissing, where the cluster
    itself is at fault; what `rounds.run` raises besides."""
    missing = set(shards)
    strikes: Counter[int] = Counter()
    fruitless = 0
    while missing:
        suspects = {shard for shard in missing if strikes[shard] >= STRIKES - 1}
        chosen = (missing - suspects) or {min(suspects)}
        broken: GraphBroken | None = None
        came = 0
        try:
            for receipt in rounds.run(chosen):
                missing.discard(receipt.shard)
                came += 1
                yield receipt
        except GraphBroken as error:
            broken = error
        left = chosen & missing
        if not left:
            fruitless = 0
            continue
        for receipt in rounds.committed(left):
            missing.discard(receipt.shard)
            came += 1
            yield receipt
        left &= missing
        not_theirs = isinstance(broken, StageNotStarted)
        struck = set() if not_theirs else left & set(rounds.begun())
        strikes.update(struck)
        fruitless = 0 if came else fruitless + (1 if struck else 2)
        if len(chosen) == 1 and left and strikes[min(left)] >= STRIKES:
            missing -= left
            say(f"shard {min(left)} has ended {STRIKES} graphs; its objects are failed")
            yield rounds.fail(min(left), broken)
        elif left:
            say(f"{len(left)} shards were lost with a worker; embedding them again")
        if fruitless >= FRUITLESS and missing:
            raise broken or ShardsMissing(
                f"{len(missing)} of {len(shards)} shards were not committed.",
                remedy="Workers are lost again and again; look at the cluster's nodes and their "
                "memory, then run again: committed shards are kept.",
            )
