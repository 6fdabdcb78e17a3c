"""An S3 Inventory as a source: three formats, checksums, what it is too old to know, resuming."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.cli.demo_server import DemoServer
from pipeline.errors import ManifestInvalid
from pipeline.planning.plan import plan
from pipeline.progress import ProgressReporter
from pipeline.records import MediaObject
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.s3 import look
from pipeline.s3.listing import list_pages
from pipeline.s3.look import Presence
from pipeline.settings import Settings, SourceSettings
from pipeline.source import inventory as inventory_module
from pipeline.source import sorted_listing
from pipeline.source.inventory_manifest import read_inventory
from pipeline.source.source import open_source
from tests.bench import sources
from tests.support import media_files
from tests.support.inventory_files import SCHEMAS, Version, put_inventory
from tests.support.nasty_keys import KEYS, NO_KEYS_OF_SEAWEED
from tests.support.run_settings import settings_for

OLDER, NEWER = datetime(2026, 11, 26, 1, tzinfo=UTC), datetime(2026, 11, 27, 1, tzinfo=UTC)


@pytest.fixture
def source(seaweed_server: DemoServer, tmp_path: Path) -> SourceSettings:
    """A bucket with nasty keys, and one for its inventories, `<bucket>-i`."""
    made = SourceSettings(
        bucket=f"b-{uuid.uuid4().hex}",
        endpoint_url=seaweed_server.url,
        inventory_folder=tmp_path / "sorted",
    )
    client = s3.make_client(made)
    client.create_bucket(Bucket=made.bucket)
    client.create_bucket(Bucket=f"{made.bucket}-i")
    for key in [*(k for k in KEYS if k not in NO_KEYS_OF_SEAWEED), "in/a+b %41.mp4", "in/ü.jpg"]:
        client.put_object(Bucket=made.bucket, Key=key, Body=key.encode())
    return made


def listed_of(source: SourceSettings) -> list[MediaObject]:
    return list(list_pages(s3.make_client(source), source.bucket, ""))


def made_of(
    source: SourceSettings, files: list[list[Version]], format_: str = "Parquet",
    created: datetime = NEWER,
) -> str:  # fmt: skip
    client = s3.make_client(source)
    return put_inventory(
        client, f"{source.bucket}-i", "of/daily/", format_, files, of=source.bucket, created=created
    )


def by(source: SourceSettings, address: str, **fields: Any) -> SourceSettings:
    return source.model_copy(update={"inventory": address, **fields})


@pytest.mark.parametrize("format_", SCHEMAS)
def test_it_lists_what_a_listing_lists(
    source: SourceSettings, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the letter, since ids and generations are made of it; of all versions, the latest that are
    not deleted. The newest of a folder counts."""
    monkeypatch.setattr(sorted_listing, "ROWS_PER_RUN", 4)
    objects = listed_of(source)
    assert len(objects) >= 20
    versions = [Version(replace(obj, version_id="v2")) for obj in reversed(objects)]
    noise = [
        Version(replace(objects[0], etag="before", version_id="v1"), latest=False),
        Version(replace(objects[0], key="deleted.mp4"), deleted=True),
        Version(replace(objects[0], key="x.mp4", bucket="another-bucket")),
    ]
    made_of(source, [[Version(replace(objects[0], etag="old"))]], format_, OLDER)
    made_of(source, [versions[::2] + noise, versions[1::2], []], format_)
    place = open_source(by(source, f"s3://{source.bucket}-i/of/daily"))
    place.check()
    assert list(place.listed()) == objects
    narrow = by(source, f"s3://{source.bucket}-i/of/daily/", prefix="in/")
    assert [obj.key for obj in open_source(narrow).listed()] == ["in/a+b %41.mp4", "in/ü.jpg"]
    assert "By the inventory of 2026-11-27 01:00 UTC" in place.notes()[0]


def test_a_plan_that_was_stopped_goes_on(
    source: SourceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = listed_of(source)
    address = made_of(source, [[Version(obj)] for obj in objects[:3]])
    fetched: list[str] = []
    get_file = inventory_module.get_file

    def noted(client: Any, bucket: str, key: str, path: Path) -> bool:
        fetched.append(key)
        if len(fetched) == 3:
            raise KeyboardInterrupt
        return get_file(client, bucket, key, path)

    monkeypatch.setattr(inventory_module, "get_file", noted)
    with pytest.raises(KeyboardInterrupt):
        list(open_source(by(source, address)).listed())
    assert list(open_source(by(source, address)).listed()) == objects[:3]
    assert list(open_source(by(source, address)).listed()) == objects[:3]
    assert [key[-9] for key in fetched] == list("0122")
    # Another scope reads them anew; and what was sorted of others goes.
    assert list(open_source(by(source, address, prefix="zzz")).listed()) == []
    assert len(list(source.inventory_folder.glob("*/*"))) == 1


def test_damage_is_found(source: SourceSettings) -> None:
    objects = listed_of(source)
    address = made_of(source, [[Version(objects[0])]], "CSV")
    client, bucket = s3.make_client(source), f"{source.bucket}-i"
    key = address.removeprefix(f"s3://{bucket}/")
    manifest, _ = s3.get_bytes(client, bucket, key) or (b"", "")
    [data] = list_pages(client, bucket, "of/daily/data/")

    def fails(says: str, **fields: Any) -> None:
        with pytest.raises(ManifestInvalid, match=says):
            list(open_source(by(source, address, **fields)).listed())

    client.put_object(Bucket=bucket, Key=data.key, Body=b"other bytes")
    fails("has MD5")
    s3.delete(client, bucket, data.key)
    fails("is not there")
    fails("it is of bucket", bucket="another")
    client.put_object(Bucket=bucket, Key=key, Body=manifest + b" ")
    fails(r"does not fit its manifest\.checksum")
    s3.delete(client, bucket, key)
    fails(r"There is no manifest\.json")
    address = f"s3://{bucket}/nowhere"
    fails(r"There is no manifest\.json")
    address = "/a/folder"
    fails(r"Setting source\.inventory")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "no manifest.json"),
        (b"{}", "KeyError: 'fileFormat'"),
        (b'{"fileFormat": "XML"}', "XML"),
        (
            b'{"fileFormat": "CSV", "fileSchema": "Bucket, Key", "sourceBucket": "a", '
            b'"destinationBucket": "arn:aws:s3:::b", "creationTimestamp": "1", "files": []}',
            "no column for size, etag",
        ),
    ],
)
def test_what_is_no_inventory_says_why(data: bytes, says: str) -> None:
    with pytest.raises(ManifestInvalid, match=says):
        read_inventory("s3://b/manifest.json", data)


@pytest.mark.parametrize("heads", [1, 100])
def test_presence_is_asked_by_heads_or_by_pages(
    source: SourceSettings, monkeypatch: pytest.MonkeyPatch, heads: int
) -> None:
    monkeypatch.setattr(look, "HEADS_FIRST", heads)
    there = [obj.key for obj in listed_of(source)]
    every = sorted([*there, *(key + "-not" for key in there), "zzzz"])
    client = s3.make_client(source)
    asked: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    presence = Presence(client, source.scopes)
    assert [key for key in every if presence.has(source.bucket, key)] == there
    assert len(asked) == (2 if heads == 1 else len(every))


def test_it_removes_nothing_that_is_there(seaweed_server: DemoServer, tmp_path: Path) -> None:
    """What it is too old to know is kept, what left the bucket goes, and so does what a filter
    leaves out. A change from listing to inventory makes nothing new."""
    settings = settings_for(
        tmp_path, seaweed_server.url, bucket=f"b-{uuid.uuid4().hex}",
        encode__encoder="imagebind-demo", embed__engine="loop", state__max_removed_share=0.5,
        source__inventory_folder=tmp_path / "sorted",
    )  # fmt: skip
    source, client = settings.source, s3.make_client(settings.source)
    for bucket in (source.bucket, f"{source.bucket}-i"):
        client.create_bucket(Bucket=bucket)
    for number, key in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        client.put_object(Bucket=source.bucket, Key=key, Body=media_files.jpeg(number))
    address = made_of(source, [[Version(obj) for obj in listed_of(source)]])
    client.put_object(Bucket=source.bucket, Key="newer.jpg", Body=media_files.jpeg(7))
    assert run_index(settings).objects_by_action == {"new": 4}
    chosen = settings.model_copy(update={"source": by(source, address)})
    planned = planned_by(chosen, tmp_path)
    assert planned.summary.objects == {"unchanged": 4}
    assert "1 known objects are not in the inventory, and are there" in planned.summary.notes[1]
    s3.delete(client, source.bucket, "newer.jpg")
    assert planned_by(chosen, tmp_path).summary.objects == {"unchanged": 3, "gone": 1}
    filtered = chosen.model_copy(update={"source": by(source, address, exclude=("a*",))})
    assert planned_by(filtered, tmp_path).summary.objects == {"unchanged": 2, "gone": 2}


@pytest.mark.parametrize("what", [*sources.WHAT, sources.AGAIN])
def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Small, and in this process: no figures here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    sources.write_files(tmp_path, 100)
    assert sources.plan_once(tmp_path, what, 100)["to_embed"] == 80


def planned_by(settings: Settings, folder: Path) -> Any:
    return plan(settings, RunOptions(), folder / "plan.parquet", ProgressReporter())
