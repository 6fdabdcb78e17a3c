"""Fixtures of a Qdrant server: its stand-in by REST and by gRPC, and, where one can be had, a real
one the same two ways, of one node and of three (`tests.support.real_qdrant`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.settings_index import IndexSettings
from tests.support.real_qdrant import (
    QdrantNodes,
    emptied,
    named_binary,
    named_grpc_port,
    named_url,
)

if TYPE_CHECKING:
    from pipeline.index.vector_index import VectorIndex
    from tests.support.qdrant_server import StandIn

STAND_INS = ("rest", "grpc")
# For tests that look at what the stand-in was asked, or make it behave.
only_stand_ins = pytest.mark.parametrize("served", STAND_INS, indirect=True)


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and how it is spoken to."""

    settings: IndexSettings
    stand_in: StandIn | None = None
    nodes: QdrantNodes | None = None

    @property
    def server(self) -> StandIn:
        assert self.stand_in is not None, "this test is for stand-ins: @only_stand_ins"
        return self.stand_in


def _real_ways() -> list[object]:
    kinds = ["named server"] if named_url() else []
    kinds += ["one node", "three nodes"] if named_binary() else []
    ways = [f"{kind}, {way}" for kind in kinds for way in STAND_INS]
    marks = (pytest.mark.server, pytest.mark.qdrant_server)
    return [pytest.param(way, marks=marks) for way in ways]


# For tests to which it is the same how a stand-in is spoken to, and that take their time.
one_stand_in = pytest.mark.parametrize("served", ["rest", *_real_ways()], indirect=True)


@pytest.fixture(scope="session")
def real_servers(
    _environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServers]:
    """Each kind is started when a test first wants it."""
    with ExitStack() as stack:
        yield RealServers(stack, tmp_path_factory)


class RealServers:
    """Empty when they are given; what was left in them is dropped."""

    def __init__(self, stack: ExitStack, folders: pytest.TempPathFactory) -> None:
        self._stack = stack
        self._folders = folders
        self._started: dict[str, QdrantNodes] = {}
        self._seen = False

    def serving(self, kind: str, way: str) -> Served:
        grpc = way == "grpc"
        if kind == "named server":
            emptied(named_url(), look_only=not self._seen)
            self._seen = True
            return Served(
                IndexSettings(url=named_url(), prefer_grpc=grpc, grpc_port=named_grpc_port())
            )
        nodes = self._nodes(kind)
        first = nodes.nodes[0]
        settings = IndexSettings(url=first.url, prefer_grpc=grpc, grpc_port=first.grpc_port)
        if kind == "three nodes":
            settings = settings.model_copy(update={"shards": 3, "replicas": 2})
        emptied(first.url)
        return Served(settings, nodes=nodes)

    def _nodes(self, kind: str) -> QdrantNodes:
        if kind not in self._started:
            binary = named_binary()
            assert binary is not None
            count = 3 if kind == "three nodes" else 1
            nodes = QdrantNodes(binary, self._folders.mktemp("qdrant"), count)
            self._stack.callback(nodes.close)
            self._started[kind] = nodes
        for node in self._started[kind].nodes:
            node.start()
        return self._started[kind]


WAYS = [*(pytest.param(way, marks=pytest.mark.server) for way in STAND_INS), *_real_ways()]


@contextmanager
def serving(request: pytest.FixtureRequest, way: str) -> Iterator[Served]:
    """An empty server of one of `WAYS`, for a fixture with other ways beside them."""
    from tests.support.qdrant_grpc import grpc_side
    from tests.support.qdrant_server import qdrant_server

    if way not in STAND_INS:
        kind, _, by = way.partition(", ")
        yield request.getfixturevalue("real_servers").serving(kind, by)
        return
    with qdrant_server() as server:
        if way == "rest":
            yield Served(IndexSettings(url=server.url, prefer_grpc=False), server)
            return
        with grpc_side(server) as port:
            yield Served(IndexSettings(url=server.url, grpc_port=port), server)


@contextmanager
def opened_index(
    request: pytest.FixtureRequest, way: str, folder: Path, assets: Sequence[tuple[str, str, int]]
) -> Iterator[VectorIndex]:
    """With these invented assets: of the local engine by "folder", or of one of `WAYS`."""
    from pipeline.index.vector_index import open_index
    from tests.support.invented_assets import SPACES, load

    with ExitStack() as stack:
        settings = IndexSettings(path=folder / "qdrant")
        if way != "folder":
            settings = stack.enter_context(serving(request, way)).settings
        index = stack.enter_context(open_index(settings))
        index.ensure_collection(SPACES)
        load(index, folder, assets, batch_rows=64)
        yield index


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Empty. The stand-in is in memory."""
    with serving(request, request.param) as found:
        yield found


@pytest.fixture
def on_server(served: Served) -> Iterator[VectorIndex]:
    """An empty collection there, for vectors that tests invent."""
    from pipeline.index.vector_index import open_index
    from tests.support.invented_assets import SPACES

    with open_index(served.settings) as opened:
        opened.ensure_collection(SPACES)
        yield opened
