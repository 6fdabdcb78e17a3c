"""A folder as a source: its listing, what is fetched of it, and a whole run over one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.errors import ListingEndedEarly, ObjectChanged, ObjectDenied, SettingsError
from pipeline.index.vector_index import open_index
from pipeline.records import MediaObject
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings, SourceSettings, load_settings
from pipeline.source.source import Source, open_source
from pipeline.state.objects import read_state
from pipeline.state.store import open_store
from tests.chaos.reading import everything


def source_of(folder: Path, **more: Any) -> Source:
    return open_source(SourceSettings(folder=folder, **more))


def put(folder: Path, key: str, content: bytes = b"x") -> Path:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def keys(folder: Path, **more: Any) -> list[str]:
    return [obj.key for obj in source_of(folder, **more).listed()]


def test_keys_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    wanted = ["a-b.mp4", "a.mp4", "a/b.mp4", "a/c/d.mp4", "a0.mp4", "ab/c.mp4", "Ž.mp4", "海/a.mp4"]
    wanted = sorted([*wanted, "films 2/a.mp4", "films/a.mp4"], key=str.encode)
    for key in wanted:
        put(tmp_path, key)
    assert keys(tmp_path) == wanted
    assert keys(tmp_path, prefix="a/") == ["a/b.mp4", "a/c/d.mp4"]
    assert keys(tmp_path, prefix="a/c/d") == ["a/c/d.mp4"]
    assert keys(tmp_path, prefix="film") == ["films 2/a.mp4", "films/a.mp4"]
    assert keys(tmp_path, prefix="b") == []


def test_what_is_no_media_of_its_own_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "film.mp4")
    put(tmp_path, "._film.mp4")
    put(tmp_path, ".sensedex/state/a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "film.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "not-there")
    (tmp_path / "circle").symlink_to(tmp_path)
    assert keys(tmp_path) == ["film.mp4", "link.mp4"]


@pytest.mark.parametrize("etag", ["stat", "digest"])
def test_a_file_is_another_when_it_is_written(tmp_path: Path, etag: Any) -> None:
    file = put(tmp_path / "media", "film.mp4", b"first")
    place = source_of(tmp_path / "media", folder_etag=etag)
    (listed,) = place.listed()
    assert (listed.size_bytes, listed.bucket) == (5, (tmp_path / "media").as_posix())
    assert listed.uri == file.as_uri()
    assert listed.last_modified.endswith("+00:00")
    assert place.fetch(listed, tmp_path / "copy").content_type == "video/mp4"
    assert (tmp_path / "copy").read_bytes() == b"first"
    assert list(place.listed()) == [listed]
    file.write_bytes(b"other")  # as long as before
    assert [obj.etag for obj in place.listed()] != [listed.etag]
    with pytest.raises(ObjectChanged) as raised:
        place.fetch(listed, tmp_path / "copy")
    assert raised.value.code == "object_changed"
    file.unlink()
    with pytest.raises(ObjectChanged) as raised:
        place.fetch(listed, tmp_path / "copy")
    assert raised.value.code == "object_gone"
    assert "film.mp4" in str(raised.value)


def test_a_digest_outlives_a_move_and_stat_does_not(tmp_path: Path) -> None:
    file = put(tmp_path, "film.mp4", b"first")
    before = {etag: [o.etag for o in source_of(tmp_path, folder_etag=etag).listed()]
              for etag in ("stat", "digest")}  # fmt: skip
    shutil.copy(file, tmp_path / "copy")
    os.replace(tmp_path / "copy", file)
    after = {etag: [o.etag for o in source_of(tmp_path, folder_etag=etag).listed()]
             for etag in ("stat", "digest")}  # fmt: skip
    assert after["digest"] == before["digest"]
    assert after["stat"] != before["stat"]


def test_what_may_not_be_read_is_said_and_takes_nothing_for_gone(tmp_path: Path) -> None:
    """Root may read anything, so the system's answer is made here."""
    put(tmp_path, "a/film.mp4")
    put(tmp_path, "b/film.mp4")
    place = source_of(tmp_path)
    listed = list(place.listed())
    denied = PermissionError(13, "Permission denied")
    with (
        mock.patch("pipeline.source.folder.shutil.copyfile", side_effect=denied),
        pytest.raises(ObjectDenied, match=r"b/film\.mp4 may not be read"),
    ):
        place.fetch(listed[1], tmp_path / "copy")
    scandir = os.scandir

    def scan(path: Path) -> Any:
        if path == tmp_path / "b":
            raise denied
        return scandir(path)

    with mock.patch("pipeline.source.folder.os.scandir", scan):
        came = place.listed()
        assert next(came).key == "a/film.mp4"
        with pytest.raises(ListingEndedEarly, match="Permission denied"):
            next(came)


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))).write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"caf\\udce9\.mp4 .* not UTF-8"):
        keys(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        source_of(tmp_path / "videos").check()


def test_a_whole_run_over_a_folder(root_dir: Path, tmp_path: Path) -> None:
    """New, unchanged, changed and gone, as over a bucket; points say where the file is."""
    media = tmp_path / "media"
    photos = sorted((root_dir / "infra/demo/media").glob("photos/*.jpg"))[:3]
    for photo in photos:
        put(media, f"photos/{photo.name}", photo.read_bytes())
    put(media, f"photos/{photos[0].stem}.txt", b"words beside it")
    put(media, "notes.pdf", b"no media")
    settings = load_settings(None, {
        "source.folder": str(media),
        "index.path": str(tmp_path / "qdrant"),
        "state.location": str(tmp_path / "state"),
        "state.max_removed_share": "1",
        "encode.encoder": "imagebind-demo",
        "encode.precision": "fp32",
    })  # fmt: skip
    report = run_index(settings)
    assert report.objects_by_status == {"indexed": 4}  # the words beside it, too
    assert report.bucket == media.as_posix()
    payloads = segments_of(settings)
    assert {p["uri"] for p in payloads} == {(media / "photos" / p.name).as_uri() for p in photos}
    assert {p["mime"] for p in payloads} == {"image/jpeg"}
    assert [p["has_text"] for p in payloads if p["key"].endswith(photos[0].name)] == [True]

    again = run_index(settings)
    assert again.objects_by_action == {"unchanged": 4}

    put(media, f"photos/{photos[1].name}", photos[2].read_bytes())
    (media / f"photos/{photos[2].name}").unlink()
    report = run_index(settings)
    assert report.objects_by_action == {"changed": 1, "gone": 1, "unchanged": 2}
    assert {p["key"] for p in segments_of(settings)} == {f"photos/{p.name}" for p in photos[:2]}
    state = read_state(open_store(settings.state.location, settings.source))
    assert state.bucket == media.as_posix()


@pytest.mark.usefixtures("ray_running")
def test_a_relative_folder_is_the_same_in_every_process(
    root_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's workers are in other folders than the command."""
    photo = root_dir / "infra/demo/media/photos/bee.jpg"
    put(tmp_path / "here/videos", "bee.jpg", photo.read_bytes())
    monkeypatch.chdir(tmp_path / "here")
    settings = load_settings(None, {
        "source.folder": "videos",
        "index.path": str(tmp_path / "qdrant"),
        "state.location": str(tmp_path / "state"),
        "embed.engine": "ray",
        "encode.encoder": "imagebind-demo",
        "encode.precision": "fp32",
    })  # fmt: skip
    assert run_index(settings).objects_by_status == {"indexed": 1}


def segments_of(settings: Settings) -> list[dict[str, Any]]:
    with open_index(settings.index) as index:
        found = everything(index, of_the_run=True)
    return [p for p, _ in found.values() if p["kind"] == "segment" and p["live"]]


def test_an_object_of_a_bucket_keeps_its_address() -> None:
    assert MediaObject("films", "a b.mp4", "e", 1, "").uri == "s3://films/a b.mp4"
