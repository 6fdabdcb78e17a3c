"""What can be seen on a real Qdrant server alone: kills, nodes that go, disks, keys, readers.

SENSEDEX_TEST_QDRANT_BIN=PROGRAM make test ARGS=tests/server. Without a server there is nothing to
collect here; the doubles' tests (tests/pipeline/test_index_contract.py and the like) run on it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.nodes import started
from tests.support.real_qdrant import QdrantNodes, named_binary

if named_binary() is None:
    collect_ignore_glob = ["test_*.py"]
HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("qdrant_server")
            item.add_marker("server")


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
