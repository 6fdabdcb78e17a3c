"""Nodes of a test's own, and the settings to speak to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.settings_index import IndexSettings
from tests.support.real_qdrant import QdrantNodes, named_binary


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


def settings_of(nodes: QdrantNodes, *, grpc: bool = True, spoken_to: int = 0) -> IndexSettings:
    """For a collection that outlives the loss of a node, where there are three."""
    chosen = nodes.nodes[spoken_to]
    settings = IndexSettings(url=chosen.url, grpc_port=chosen.grpc_port, prefer_grpc=grpc)
    if len(nodes.nodes) == 1:
        return settings
    return settings.model_copy(update={"shards": 3, "replicas": 2})
