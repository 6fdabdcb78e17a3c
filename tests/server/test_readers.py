"""Two readers while assets change: each segment is found once, all along."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.vector_index import open_index
from tests.server.nodes import settings_of
from tests.server.readers import Seen, load_alike, reading
from tests.support.invented_assets import SPACES
from tests.support.real_qdrant import QdrantNodes

READS = 10_000
MANY_SMALL = {f"{n}.mp4": 50 for n in range(20)}
LONG = {"film.mp4": 20_000}


def _read_while_it_changes(
    nodes: QdrantNodes, segments: dict[str, int], folder: Path, *, grpc: bool, reads: int
) -> Seen:
    settings = settings_of(nodes, grpc=grpc)
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load_alike(index, folder, segments, "g0", 1)
        number = 1
        with reading(settings, segments) as seen:
            while sum(one.reads for one in seen) < reads:
                load_alike(index, folder, segments, f"g{number % 2}", number + 1)
                number += 1
        assert index.count() == index.count(live_only=False) == sum(segments.values())
    total = sum(seen, Seen())
    print(
        f"{total.reads:,} reads, {number - 1} times all assets changed: {total.twice_by_filter} "
        f"saw both generations by the filter, {total.gaps_by_token} a gap by the token alone; "
        f"by the rule {len(total.gaps)} gaps, {len(total.twice)} double"
    )
    return total


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("segments", [MANY_SMALL, LONG], ids=["20 of 50", "1 of 20000"])
def test_each_segment_is_found_once_on_one_node(
    node: QdrantNodes, segments: dict[str, int], grpc: bool, tmp_path: Path
) -> None:
    seen = _read_while_it_changes(node, segments, tmp_path, grpc=grpc, reads=READS)
    assert (seen.gaps[:5], seen.twice[:5], seen.refused) == ([], [], 0)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("segments", [MANY_SMALL, LONG], ids=["20 of 50", "1 of 20000"])
def test_each_segment_is_found_once_on_three_nodes(
    three_nodes: QdrantNodes, segments: dict[str, int], tmp_path: Path
) -> None:
    seen = _read_while_it_changes(three_nodes, segments, tmp_path, grpc=True, reads=READS)
    assert (seen.gaps[:5], seen.twice[:5], seen.refused) == ([], [], 0)
