"""Objects behind assets: a store that does not answer, and a folder that is not the one served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ObjectChanged, ObjectDenied, StoreUnavailable
from pipeline.records import MediaObject
from pipeline.s3 import client as s3
from pipeline.serve.objects import Objects
from pipeline.settings import SourceSettings
from pipeline.source.folder import FolderSource

AT = "2026-11-21T02:30:00+00:00"


def test_a_store_that_is_away_is_not_asked_for_each_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def away(_: Any, obj: MediaObject) -> None:
        asked.append(obj)
        raise StoreUnavailable("Nobody answers.")

    monkeypatch.setattr(s3, "check_unchanged", away)
    objects = Objects(SourceSettings(bucket="b", endpoint_url="http://127.0.0.1:1"), 30)
    some = [MediaObject("b", f"{n}.jpg", "e", 1, AT) for n in range(50)]
    assert {objects.why_stale(obj) for obj in some} == {"store_unavailable"}
    assert len(asked) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    made.mkdir()
    (made / "a.jpg").write_bytes(b"0123456789")
    (tmp_path / "private.txt").write_bytes(b"private")
    return made


@pytest.mark.parametrize("etag", ["stat", "digest"])
def test_a_file_of_the_folder(folder: Path, etag: Any) -> None:
    [obj] = FolderSource(folder, "", etag).listed()
    objects = Objects(SourceSettings(folder=folder, folder_etag=etag), 30)
    objects.look(obj)
    assert objects.read(obj, 2, 5) == b"234"
    assert objects.in_place(obj) == folder / "a.jpg"
    assert objects.link(obj) is None
    (folder / "a.jpg").write_bytes(b"other")
    with pytest.raises(ObjectChanged):
        objects.look_now(obj)
    with pytest.raises(ObjectChanged):
        objects.read(obj, 2, 5)
    (folder / "a.jpg").unlink()
    with pytest.raises(ObjectChanged, match="no longer there"):
        objects.read(obj, 2, 5)


def test_no_other_file_is_read_whatever_a_payload_says(folder: Path) -> None:
    objects = Objects(SourceSettings(folder=folder), 30)
    of_bucket = Objects(SourceSettings(bucket="b"), 30)
    for bucket, key in (
        (str(folder), "../private.txt"),
        (str(folder.parent), "private.txt"),
        ("/etc", "passwd"),
    ):
        obj = MediaObject(bucket, key, "e", 7, AT)
        for one in (objects, of_bucket):
            assert one.why_stale(obj) == "denied"
            with pytest.raises(ObjectDenied):
                one.read(obj, 0, 7)
            with pytest.raises(ObjectDenied):
                one.in_place(obj)
