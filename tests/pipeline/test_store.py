"""The two stores keep the same promises: a folder, and a bucket of moto and of a real S3 server."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.demo_server import DemoServer
from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings
from pipeline.state.store import AlreadyThere, FolderStore, Store, VersionConflict, open_store
from tests.support.s3_server import S3Server

SEAWEED = pytest.param("seaweed", marks=pytest.mark.server)
MOTO = pytest.param("moto", marks=pytest.mark.server)


@pytest.fixture(params=["folder", SEAWEED, MOTO])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "state"), SourceSettings())
    if request.param == "seaweed":
        return open_store(*in_new_bucket(request.getfixturevalue("seaweed_server")))
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store("s3://media/some/state/", server.settings())


@pytest.fixture(params=["folder", SEAWEED])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the same store anew. Not moto's: it checks its conditions and writes in two steps."""
    if request.param == "folder":
        return lambda: FolderStore(tmp_path)
    place = in_new_bucket(request.getfixturevalue("seaweed_server"))
    return lambda: open_store(*place)


def in_new_bucket(server: DemoServer) -> tuple[str, SourceSettings]:
    source = SourceSettings(bucket=f"state-{uuid.uuid4().hex}", endpoint_url=server.url)
    s3.make_client(source).create_bucket(Bucket=source.bucket)
    return f"s3://{source.bucket}/some/state/", source


def test_create_read_replace_delete(store: Store) -> None:
    assert store.read("a/b.json") is None
    first = store.create("a/b.json", b"1")
    found = store.read("a/b.json")
    assert found is not None
    assert (found.data, found.version) == (b"1", first)
    with pytest.raises(AlreadyThere, match=r"a/b\.json"):
        store.create("a/b.json", b"1")
    second = store.replace("a/b.json", b"2", first)
    with pytest.raises(VersionConflict):
        store.replace("a/b.json", b"3", first)
    found = store.read("a/b.json")
    assert found is not None
    assert (found.data, found.version) == (b"2", second)
    store.delete("a/b.json")
    store.delete("a/b.json")
    assert store.read("a/b.json") is None
    with pytest.raises(VersionConflict):
        store.replace("a/b.json", b"4", second)


def test_list_is_sorted_and_by_prefix(store: Store) -> None:
    names = ["runs/1/b", "runs/1/a", "runs/10/a", "runs/2/a", "current.json"]
    for name in names:
        store.create(name, b"")
    assert list(store.list()) == sorted(names)
    assert list(store.list("runs/1")) == ["runs/1/a", "runs/1/b", "runs/10/a"]
    assert list(store.list("runs/1/")) == ["runs/1/a", "runs/1/b"]
    assert list(store.list("runs/", start_after="runs/10/")) == ["runs/10/a", "runs/2/a"]
    store.create("runs/03-x/a", b"")
    assert list(store.list("runs/0", start_after="runs/03")) == ["runs/03-x/a"]
    assert list(store.list("runs/0", start_after="runs/04")) == []
    assert list(store.list("nothing/")) == []


def test_files_go_in_and_come_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(b"data")
    store.put_file("shards/x.parquet", tmp_path / "up")
    with store.local_copy("shards/x.parquet") as path:
        assert path.read_bytes() == b"data"
    with pytest.raises(FileNotFoundError), store.local_copy("shards/y.parquet"):
        pass
    assert list(store.list()) == ["shards/x.parquet"]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", ".writing/a"])
def test_names_stay_inside(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        store.create(name, b"")
    with pytest.raises(ValueError, match="relative"):
        store.read(name)


def winners(count: int, attempt: Callable[[int], object], lost: type[Exception]) -> list[int]:
    """Who gets through when all start at once."""
    barrier = threading.Barrier(count)
    won: list[int] = []
    other: list[Exception] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            attempt(number)
            won.append(number)
        except lost:
            pass
        except Exception as error:  # noqa: BLE001  shown by the assert below
            other.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other == []
    return won


def test_one_of_many_creates(opener: Callable[[], Store]) -> None:
    stores = [opener() for _ in range(8)]
    won = winners(8, lambda n: stores[n].create("lease", str(n).encode()), AlreadyThere)
    assert len(won) == 1
    found = stores[0].read("lease")
    assert found is not None
    assert found.data == str(won[0]).encode()


def test_one_of_many_replaces(opener: Callable[[], Store]) -> None:
    stores = [opener() for _ in range(8)]
    version = stores[0].create("lease", b"start")
    won = winners(
        8, lambda n: stores[n].replace("lease", str(n).encode(), version), VersionConflict
    )
    assert len(won) == 1
    assert list(stores[0].list()) == ["lease"]


def test_counting_up_by_many_loses_nothing(opener: Callable[[], Store]) -> None:
    store = opener()
    store.create("n", b"0")

    def count(_: int) -> None:
        for _ in range(5):
            while True:
                found = store.read("n")
                assert found is not None
                try:
                    store.replace("n", str(int(found.data) + 1).encode(), found.version)
                    break
                except VersionConflict:
                    continue

    winners(4, count, KeyError)
    found = store.read("n")
    assert found is not None
    assert found.data == b"20"


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "s")
    store.create("a", b"1")
    with pytest.raises(AlreadyThere):
        store.create("a", b"2")
    assert {p.name for p in (tmp_path / "s" / ".writing").iterdir()} <= {"lock"}


def test_opening_writes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "s"), SourceSettings())
    assert store.read("current.json") is None
    assert list(store.list()) == []
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("location", ["", "s3://", "gs://bucket/x", "https://host/x"])
def test_a_location_that_is_none(location: str) -> None:
    with pytest.raises(SettingsError, match=r"state\.location"):
        open_store(location, SourceSettings())


def test_errors_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((SettingsError, StoreUnavailable), match="file"):
        FolderStore(tmp_path / "file").create("a", b"1")
