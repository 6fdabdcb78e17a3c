"""An empty collection in Qdrant's local mode, for vectors that tests invent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.settings_index import IndexSettings

if TYPE_CHECKING:
    from pipeline.index.vector_index import VectorIndex


@pytest.fixture
def index_settings(tmp_path: Path) -> IndexSettings:
    return IndexSettings(path=tmp_path / "qdrant")


@pytest.fixture
def index(index_settings: IndexSettings) -> Iterator[VectorIndex]:
    from pipeline.index.vector_index import open_index
    from tests.support.invented_assets import SPACES

    with open_index(index_settings) as opened:
        opened.ensure_collection(SPACES)
        yield opened
