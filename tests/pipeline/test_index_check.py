"""When a run refuses the index that its settings name, and when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.collections import open_collections
from pipeline.index.vector_index import open_index
from pipeline.models.spaces import spaces_of
from pipeline.planning.plan import check_source_and_encoders
from pipeline.run.preflight import IndexLost, check_index
from pipeline.settings import Settings
from tests.pipeline.test_thresholds import known, planned, settings_for
from tests.s3_server import S3Server, s3_server  # noqa: F401


@pytest.fixture
def settings(s3_server: S3Server, tmp_path: Path) -> Settings:  # noqa: F811
    """A bucket whose ten objects the state knows; there is no collection."""
    settings = settings_for(s3_server, tmp_path, **{"index.path": tmp_path / "qdrant"})
    known(settings)
    return settings


def check(settings: Settings, folder: Path) -> None:
    check_index(settings, planned(settings, folder))


def test_what_is_called_unchanged_has_to_be_somewhere(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(IndexLost, match="it has 10 segments"):
        check(settings, tmp_path)
    with open_index(settings.index) as index:
        index.ensure_collection(spaces_of(check_source_and_encoders(settings)))
    check(settings, tmp_path)


@pytest.mark.usefixtures("settings")
def test_where_all_is_embedded_anew_a_new_collection_is_right(
    s3_server: S3Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    other = {"index.path": tmp_path / "qdrant", "decode.window_ms": 4000}
    check(settings_for(s3_server, tmp_path, **other), tmp_path)


def test_a_rebuild_that_was_stopped_is_no_index(settings: Settings, tmp_path: Path) -> None:
    name = settings.index.collection
    with open_collections(settings.index) as collections:
        collections.create(f"{name}-2", spaces_of(check_source_and_encoders(settings)))
    with pytest.raises(IndexLost):
        check(settings, tmp_path)
    with open_collections(settings.index) as collections:
        collections.show(name, f"{name}-2")
    check(settings, tmp_path)
