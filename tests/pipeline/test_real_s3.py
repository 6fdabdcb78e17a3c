"""What the pipeline relies on of an S3 server, on one that keeps its data on a disk (SeaweedFS)."""

from __future__ import annotations

import hashlib
import os
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.cli.demo_server import DemoServer
from pipeline.errors import BucketNotFound, CredentialsMissing, ObjectChanged
from pipeline.records import FetchedObject
from pipeline.s3 import client as s3
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_keys, list_pages
from pipeline.settings import SourceSettings
from pipeline.source.select import ListingUnsorted, SelectionCounts, select
from tests.support.nasty_keys import KEYS, NO_KEYS_OF_SEAWEED


@pytest.fixture
def source(seaweed_server: DemoServer) -> SourceSettings:
    """A bucket of the test's own."""
    made = SourceSettings(bucket=f"b-{uuid.uuid4().hex}", endpoint_url=seaweed_server.url)
    s3.make_client(made).create_bucket(Bucket=made.bucket)
    return made


def put(source: SourceSettings, **objects: bytes) -> s3.S3Client:
    client = s3.make_client(source)
    for key, body in objects.items():
        client.put_object(Bucket=source.bucket, Key=key, Body=body)
    return client


def test_keys_and_contents_come_back_as_they_are(source: SourceSettings, tmp_path: Path) -> None:
    demo = ["odd names/100% München 🦙.jpg", "odd names/a+b c%2F.ogg", "odd names/grass + sky.jpg"]
    keys = [*(key for key in KEYS if key not in NO_KEYS_OF_SEAWEED), *demo]
    assert len(keys) > 20
    client = put(source, **{key: key.encode() for key in keys})
    listed = list(list_pages(client, source.bucket, ""))
    assert [obj.key for obj in listed] == sorted(keys, key=str.encode)
    for obj in listed:
        content = obj.key.encode()
        assert obj.size_bytes == len(content)
        assert obj.etag == hashlib.md5(content, usedforsecurity=False).hexdigest()
        fetch_to_file(client, obj, tmp_path / "object")
        assert (tmp_path / "object").read_bytes() == content


def test_a_listing_has_pages_a_prefix_and_an_order(source: SourceSettings) -> None:
    client = s3.make_client(source)
    keys = [f"{'deep/er/' * (n % 3)}{n % 10}/{n:05d}.jpg" for n in range(2100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: client.put_object(Bucket=source.bucket, Key=k, Body=b""), keys))
    found = [obj.key for obj in list_pages(client, source.bucket, "")]
    assert found == sorted(keys)
    assert [obj.key for obj in list_pages(client, source.bucket, "deep/er/1")] == [
        key for key in sorted(keys) if key.startswith("deep/er/1")
    ]
    after = sorted(keys)[1500]
    assert list(list_keys(client, source.bucket, "", after)) == sorted(keys)[1501:]


def test_an_order_that_is_not_that_of_the_bytes_is_refused(source: SourceSettings) -> None:
    """It lists a folder where its name stands, without the slash: `films/` before `films 2/`."""
    client = put(source, **{"films/a.jpg": b"a", "films 2/b.jpg": b"b"})
    listed = list_pages(client, source.bucket, "")
    with pytest.raises(ListingUnsorted, match=r"films 2/b\.jpg"):
        list(select(listed, source, SelectionCounts()))


def test_a_changed_object_is_not_read(source: SourceSettings, tmp_path: Path) -> None:
    client = put(source, **{"a.jpg": b"before", "gone.jpg": b"x"})
    changed, gone = list_pages(client, source.bucket, "")
    put(source, **{"a.jpg": b"after"})
    s3.delete(client, source.bucket, "gone.jpg")
    with pytest.raises(ObjectChanged):
        fetch_to_file(client, changed, tmp_path / "object")
    with pytest.raises(ObjectChanged) as raised:
        fetch_to_file(client, gone, tmp_path / "object")
    assert raised.value.code == "object_gone"


def test_metadata_and_storage_class(source: SourceSettings, tmp_path: Path) -> None:
    client = s3.make_client(source)
    client.put_object(
        Bucket=source.bucket, Key="a.jpg", Body=b"a", ContentType="image/jpeg",
        StorageClass="STANDARD_IA", Metadata={"title": "a dog"},
    )  # fmt: skip
    [obj] = list_pages(client, source.bucket, "")
    assert obj.storage_class == "STANDARD_IA"
    fetched = fetch_to_file(client, obj, tmp_path / "object")
    assert fetched == FetchedObject("image/jpeg", {"title": "a dog"})


def test_versions(source: SourceSettings) -> None:
    client = s3.make_client(source)
    enabled = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=source.bucket, VersioningConfiguration=enabled)
    first, second = (
        client.put_object(Bucket=source.bucket, Key="a", Body=body)["VersionId"]
        for body in (b"1", b"2")
    )
    assert first != second
    for version, body in ((first, b"1"), (second, b"2")):
        got = client.get_object(Bucket=source.bucket, Key="a", VersionId=version)
        assert got["Body"].read() == body
    assert len(list(list_pages(client, source.bucket, ""))) == 1


def test_a_large_file_in_parts_and_by_a_link(source: SourceSettings, tmp_path: Path) -> None:
    content = os.urandom(20 * 2**20)
    (tmp_path / "up").write_bytes(content)
    client = s3.make_client(source)
    s3.put_file(client, source.bucket, "large.bin", tmp_path / "up")
    [obj] = list_pages(client, source.bucket, "")
    assert obj.etag.endswith("-3")  # in three parts
    fetch_to_file(client, obj, tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content
    with urllib.request.urlopen(s3.presign(client, obj, 60), timeout=30) as answer:
        assert answer.read() == content


def test_what_it_refuses(source: SourceSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3.make_client(source)
    with pytest.raises(BucketNotFound):
        list(list_pages(client, "there-is-none", ""))
    with pytest.raises(BucketNotFound):
        s3.put_bytes(client, "there-is-none", "a", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(CredentialsMissing):
        list(list_pages(s3.make_client(source), source.bucket, ""))
