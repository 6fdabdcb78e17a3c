"""A folder, and a stand-in for a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.settings import Settings
from tests.pipeline.rebuild.scene import settings_of
from tests.support.qdrant_server import StandIn, qdrant_server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with qdrant_server() as running:
        yield running
