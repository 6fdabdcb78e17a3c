"""A run's sequence is above all that is in the index, whatever became of the state."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.index.vector_index import open_index
from pipeline.index.writer import writing
from pipeline.settings import Settings, load_settings
from pipeline.state.store import open_store
from tests.support.invented_assets import SPACES, live, load, whole
from tests.support.qdrant_server import qdrant_server


@pytest.fixture(params=["local", pytest.param("server", marks=pytest.mark.server)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    values = {"index.path": tmp_path / "qdrant", "state.location": str(tmp_path / "state")}
    if request.param == "local":
        yield load_settings(None, values)
        return
    with qdrant_server() as server:
        where = {"index.url": server.url, "index.prefer_grpc": False}
        yield load_settings(None, values | where)


def bring_in(settings: Settings, folder: Path, generation: str) -> int:
    """One film, as a run does it; the run's sequence."""
    store = open_store(settings.state.location, settings.source)
    with writing(settings, store, "run", after_token=0) as (lease, index):
        index.ensure_collection(SPACES)
        load(index, folder, [("a.mp4", generation, 2)], lease.fencing_token)
        return lease.fencing_token


@pytest.mark.parametrize("newest", [1, 2, 3, 7, 8, 40, 1000])
def test_the_newest_sequence_is_found(tmp_path: Path, newest: int) -> None:
    settings = load_settings(None, {"index.path": tmp_path / "qdrant"})
    with open_index(settings.index) as index:
        assert index.newest_token(0) == 0  # no collection yet
        index.ensure_collection(SPACES)
        assert index.newest_token(5) == 5
        for sequence in sorted({1, (newest + 1) // 2, newest}):
            load(index, tmp_path, [(f"{sequence}.mp4", "g1", 2)], sequence)
        for least in (0, newest // 2, newest - 1, newest, newest + 3):
            assert index.newest_token(least) == max(least, newest)


def test_what_a_state_begun_anew_brings_in_is_not_passed_over(
    settings: Settings, tmp_path: Path
) -> None:
    assert [bring_in(settings, tmp_path, f"g{number}") for number in (1, 2, 3)] == [1, 2, 3]
    shutil.rmtree(settings.state.location)
    assert bring_in(settings, tmp_path, "g4") == 4
    assert bring_in(settings, tmp_path, "g5") == 5
    with open_index(settings.index) as index:
        assert live(index) == {"a.mp4": whole("g5", 2)}
