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
from tests.support.known_bucket import known, planned
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server


@pytest.fixture
def settings(s3_server: S3Server, tmp_path: Path) -> Settings:
    """A bucket whose ten objects the state knows; there is no collection."""
    settings = settings_for(tmp_path, s3_server.url)
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
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    check(settings_for(tmp_path, s3_server.url, decode__window_ms=4000), tmp_path)


def test_a_rebuild_that_was_stopped_is_no_index(settings: Settings, tmp_path: Path) -> None:
    name = settings.index.collection
    with open_collections(settings.index) as collections:
        collections.create(f"{name}-2", spaces_of(check_source_and_encoders(settings)))
    with pytest.raises(IndexLost):
        check(settings, tmp_path)
    with open_collections(settings.index) as collections:
        collections.show(name, f"{name}-2")
    check(settings, tmp_path)
