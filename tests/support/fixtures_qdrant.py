"""Fixtures of a stand-in for a Qdrant server, once spoken to by REST and once by gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pipeline.settings import IndexSettings

if TYPE_CHECKING:
    from pipeline.index.vector_index import VectorIndex
    from tests.support.qdrant_server import StandIn


@dataclass(frozen=True, slots=True)
class Served:
    """The stand-in, and how it is spoken to."""

    server: StandIn
    settings: IndexSettings


@pytest.fixture(params=["rest", "grpc"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Empty, in memory."""
    from tests.support.qdrant_grpc import grpc_side
    from tests.support.qdrant_server import qdrant_server

    with qdrant_server() as server:
        if request.param == "rest":
            yield Served(server, IndexSettings(url=server.url, prefer_grpc=False))
            return
        with grpc_side(server) as port:
            yield Served(server, IndexSettings(url=server.url, grpc_port=port))


@pytest.fixture
def on_server(served: Served) -> Iterator[VectorIndex]:
    """An empty collection there, for vectors that tests invent."""
    from pipeline.index.vector_index import open_index
    from tests.support.invented_assets import SPACES

    with open_index(served.settings) as opened:
        opened.ensure_collection(SPACES)
        yield opened
