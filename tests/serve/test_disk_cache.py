"""The folder of pictures: bounded, one maker a file, nothing half made left."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.serve.disk_cache import DiskCache


def of(size: int) -> object:
    return lambda path: path.write_bytes(b"x" * size)


def aged(folder: Path, name: str, seconds: float) -> None:
    at = (folder / name).stat().st_mtime - seconds
    os.utime(folder / name, (at, at))


def test_what_was_not_asked_for_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "c", 100)
    for age, name in enumerate("abc"):
        cache.get(name, of(30))  # type: ignore[arg-type]
        aged(tmp_path / "c", name, 1000 - age)
    cache.get("a", of(30))  # type: ignore[arg-type]  it is the last asked for now
    cache.get("d", of(30))  # type: ignore[arg-type]
    assert sorted(file.name for file in (tmp_path / "c").iterdir()) == ["a", "c", "d"]
    assert cache.bytes == 90


def test_an_earlier_process_left_files(tmp_path: Path) -> None:
    DiskCache(tmp_path, 100).get("a", of(80))  # type: ignore[arg-type]
    (tmp_path / "b.half").write_bytes(b"x")
    aged(tmp_path, "a", 1000)
    cache = DiskCache(tmp_path, 100)
    assert cache.bytes == 80
    cache.get("c", of(50))  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_a_file_is_made_once_whoever_asks(tmp_path: Path) -> None:
    cache, made, all_ask = DiskCache(tmp_path, 1000), [], threading.Barrier(8)

    def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"once")

    def ask(_: int) -> bytes:
        all_ask.wait()
        return cache.get("a", make).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {b"once"}
    assert len(made) == 1


def test_what_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", fail)
    assert list(tmp_path.iterdir()) == []
    assert cache.there("a") is None
    assert cache.get("a", of(3)).read_bytes() == b"xxx"  # type: ignore[arg-type]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"serve\.cache_folder"):
        DiskCache(tmp_path / "file" / "c", 100)
