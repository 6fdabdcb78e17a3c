"""Objects fetched ahead: bounded, each with what came of it, and no file left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.embed import fetch
from pipeline.embed.fetch import Fetched, fetched_ahead
from pipeline.errors import ObjectChanged
from pipeline.records import Action, FetchedObject, MediaObject, PlanRow
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.folder import FolderSource

Fill = Callable[[int, int], list[PlanRow]]


@pytest.fixture
def source(tmp_path: Path) -> SourceSettings:
    (tmp_path / "media").mkdir()
    return SourceSettings(folder=tmp_path / "media")


@pytest.fixture
def fill(source: SourceSettings, tmp_path: Path) -> Fill:
    """So many files of so many bytes, as planned rows."""

    def made(number: int, size_bytes: int) -> list[PlanRow]:
        for index in range(number):
            (tmp_path / f"media/{index:03}.jpg").write_bytes(bytes([index]) * size_bytes)
        listed = list(FolderSource(tmp_path / "media", "", source.folder_etag).listed())
        return [PlanRow(Action.NEW, obj, obj.key, "g", "new", shard=0) for obj in listed]

    return made


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are fetched, as it begins."""
    began: list[str] = []
    fetch_one = FolderSource.fetch

    def noting(self: FolderSource, obj: MediaObject, path: Path) -> FetchedObject:
        began.append(obj.key)
        return fetch_one(self, obj, path)

    monkeypatch.setattr(FolderSource, "fetch", noting)
    return began


def test_each_object_once_with_its_bytes(source: SourceSettings, fill: Fill) -> None:
    rows = fill(60, 100)
    with fetched_ahead(source, DecodeSettings(), iter(rows)) as fetched:
        found = {each.planned.object.key: _bytes_of(each) for each in fetched}
    assert found == {f"{n:03}.jpg": bytes([n]) * 100 for n in range(60)}


def test_it_begins_at_once_and_keeps_to_its_count(
    source: SourceSettings, fill: Fill, fetches: list[str]
) -> None:
    most = fetch.MAX_OBJECTS_AHEAD + fetch.FETCHES_AT_ONCE
    with fetched_ahead(source, DecodeSettings(), iter(fill(60, 1))) as fetched:
        _wait_until(lambda: len(fetches) >= fetch.MAX_OBJECTS_AHEAD)
        for _ in range(10):
            _bytes_of(next(fetched))
        _wait_until(lambda: len(fetches) >= 10 + fetch.MAX_OBJECTS_AHEAD)
        assert len(fetches) <= 10 + most


def test_it_keeps_to_its_bytes_and_takes_what_is_larger_alone(
    source: SourceSettings, fill: Fill, fetches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES_AHEAD", 1000)
    with fetched_ahead(source, DecodeSettings(), iter(fill(9, 400))) as fetched:
        _wait_until(lambda: len(fetches) == 2)
        for taken in range(1, 8):
            _bytes_of(next(fetched))
            _wait_until(lambda: len(fetches) == taken + 2)  # noqa: B023
    monkeypatch.setattr(fetch, "MAX_BYTES_AHEAD", 10)
    with fetched_ahead(source, DecodeSettings(), iter(fill(9, 400))) as fetched:
        assert len([_bytes_of(each) for each in fetched]) == 9


def test_what_went_wrong_is_kept_with_its_object(source: SourceSettings, fill: Fill) -> None:
    rows = fill(5, 10)
    (Path(source.name) / rows[1].object.key).unlink()
    empty = replace(rows[3].object, key="none.jpg", size_bytes=0)
    nothing = PlanRow(Action.NEW, empty, "a", "g", "new")
    with fetched_ahead(source, DecodeSettings(), iter([*rows, nothing])) as fetched:
        found = {each.planned.object.key: each for each in fetched}
        assert isinstance(found["001.jpg"].error, ObjectChanged)
        assert found["none.jpg"].verdict is not None
        assert [each.path is not None for _, each in sorted(found.items())].count(True) == 4


def test_nothing_is_left_when_who_takes_them_stops(
    source: SourceSettings, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    with fetched_ahead(source, DecodeSettings(), iter(fill(60, 10))) as fetched:
        next(fetched)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert all(thread.name != "ahead" for thread in threading.enumerate())


def _bytes_of(fetched: Fetched) -> bytes:
    assert fetched.path is not None
    data = fetched.path.read_bytes()
    fetched.delete()
    assert not fetched.path.exists()
    return data


def _wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)
