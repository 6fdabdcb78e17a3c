"""What can be seen on a real Qdrant server alone: kills, nodes that go, disks, keys, readers.

SENSEDEX_TEST_QDRANT_BIN=PROGRAM make test ARGS=tests/server. Without a server there is nothing to
collect here; the doubles' tests (tests/pipeline/test_index_contract.py and the like) run on it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.settings import IndexSettings
from tests.support.real_qdrant import QdrantNodes, named_binary

if named_binary() is None:
    collect_ignore_glob = ["test_*.py"]


@contextmanager
def started(
    folder: Path, count: int = 1, *, tls: Path | None = None, **environment: str
) -> Iterator[QdrantNodes]:
    """Nodes of the test's own, whose settings are variables of the environment; `tls`: the
    certificate that they show."""
    binary = named_binary()
    assert binary is not None
    nodes = QdrantNodes(binary, folder, count, tls=tls, **environment)
    try:
        yield nodes
    finally:
        nodes.close()


@pytest.fixture(params=["grpc", "rest"])
def grpc(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "grpc")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[QdrantNodes]:
    with started(tmp_path / "node") as nodes:
        yield nodes


@pytest.fixture
def three_nodes(tmp_path: Path) -> Iterator[QdrantNodes]:
    with started(tmp_path / "nodes", 3) as nodes:
        yield nodes


def settings_of(nodes: QdrantNodes, *, grpc: bool = True, spoken_to: int = 0) -> IndexSettings:
    """For a collection that outlives the loss of a node, where there are three."""
    chosen = nodes.nodes[spoken_to]
    settings = IndexSettings(url=chosen.url, grpc_port=chosen.grpc_port, prefer_grpc=grpc)
    if len(nodes.nodes) == 1:
        return settings
    return settings.model_copy(update={"shards": 3, "replicas": 2})
