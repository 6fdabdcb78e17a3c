"""S3 as it is: a moto server, and stubs where moto cannot fail."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path

import pytest
from botocore.stub import Stubber

from pipeline.errors import (
    BucketNotFound,
    CredentialsMissing,
    ObjectArchived,
    ObjectChanged,
    ObjectDenied,
    SensedexError,
    SettingsError,
    StoreUnavailable,
)
from pipeline.records import FetchedObject, MediaObject
from pipeline.s3 import client as s3
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_keys, list_pages
from pipeline.settings import SourceSettings
from tests.support.s3_server import S3Server

NASTY_KEYS = [
    "plain.jpg",
    "with space.jpg",
    "plus+and%and&.jpg",
    "100%25.jpg",
    "a=b?c#d.jpg",
    "söhne/Zürich.jpg",
    "dog 🐕.jpg",
    'quote"and<angle>.jpg',
    "back\\slash.jpg",
    "tab\tin.jpg",
]


def only(client: s3.S3Client, bucket: str = "media") -> MediaObject:
    (obj,) = list_pages(client, bucket, "")
    return obj


def test_keys_come_back_as_they_are(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    for key in NASTY_KEYS:
        client.put_object(Bucket="media", Key=key, Body=key.encode())
    listed = list(list_pages(client, "media", ""))
    assert [obj.key for obj in listed] == sorted(NASTY_KEYS)
    for obj in listed:
        fetch_to_file(client, obj, tmp_path / "object")
        assert (tmp_path / "object").read_bytes() == obj.key.encode()


@pytest.mark.parametrize("key", ["new\nline.jpg", "/leading.jpg", "a/../b.jpg", "a//b.jpg", "+ +"])
def test_keys_that_urls_bend(s3_server: S3Server, tmp_path: Path, key: str) -> None:
    """Put where moto keeps them. Listed and asked for exactly; moto itself answers a key with a
    line break by 404, which must stay one line in the message."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("media", key, b"x")
    client = s3_server.client()
    obj = only(client)
    assert obj.key == key
    s3_server.requests.clear()
    if "\n" in key:
        with pytest.raises(ObjectChanged, match=r"s3://media/new\\nline\.jpg"):
            fetch_to_file(client, obj, tmp_path / "object")
    else:
        fetch_to_file(client, obj, tmp_path / "object")
    assert s3_server.requests == [("GET", f"/media/{key}")]


def test_a_listing_has_pages_and_a_prefix(s3_server: S3Server) -> None:
    client = s3_server.client()
    for number in range(7):
        client.put_object(Bucket="media", Key=f"a/{number}", Body=b"12")
    client.put_object(Bucket="media", Key="b/x", Body=b"", StorageClass="GLACIER")
    pages = client.get_paginator("list_objects_v2").paginate
    s3_server.requests.clear()
    assert len(list(pages(Bucket="media", PaginationConfig={"PageSize": 2}))) == 4
    found = list(list_pages(client, "media", "a/"))
    assert len(found) == 7
    assert {(o.size_bytes, o.storage_class, o.version_id) for o in found} == {(2, "STANDARD", None)}
    assert found[0].etag == hashlib.md5(b"12", usedforsecurity=False).hexdigest()
    assert found[0].last_modified.endswith("+00:00")
    assert only_class(client) == "GLACIER"


def only_class(client: s3.S3Client) -> str:
    (obj,) = list_pages(client, "media", "b/")
    return obj.storage_class


def test_metadata_comes_with_the_one_get(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    client.put_object(
        Bucket="media",
        Key="a",
        Body=b"x",
        ContentType="image/jpeg",
        Metadata={"author": "ann", "title": "=?UTF-8?B?WsO8cmljaA==?="},
    )
    obj = only(client)
    s3_server.requests.clear()
    fetched = fetch_to_file(client, obj, tmp_path / "a")
    assert fetched == FetchedObject("image/jpeg", {"author": "ann", "title": "Zürich"})
    assert s3_server.requests == [("GET", "/media/a")]


def test_a_changed_object_is_not_read(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    client.put_object(Bucket="media", Key="a", Body=b"one")
    obj = only(client)
    client.put_object(Bucket="media", Key="a", Body=b"two")
    with pytest.raises(ObjectChanged) as changed:
        fetch_to_file(client, obj, tmp_path / "a")
    assert (changed.value.code, changed.value.retryable) == ("object_changed", True)
    client.delete_object(Bucket="media", Key="a")
    with pytest.raises(ObjectChanged) as gone:
        fetch_to_file(client, obj, tmp_path / "a")
    assert gone.value.code == "object_gone"
    assert "s3://media/a" in str(gone.value)


def test_cold_storage_says_so(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    client.put_object(Bucket="media", Key="a", Body=b"one", StorageClass="DEEP_ARCHIVE")
    with pytest.raises(ObjectArchived, match="Restore"):
        fetch_to_file(client, only(client), tmp_path / "a")


def test_an_empty_object_is_fetched(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    client.put_object(Bucket="media", Key="a", Body=b"")
    fetch_to_file(client, only(client), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b""


def test_no_such_bucket(s3_server: S3Server) -> None:
    with pytest.raises(BucketNotFound, match="nowhere") as error:
        list(list_pages(s3_server.client(), "nowhere", ""))
    assert "source.bucket" in error.value.remedy


def test_no_credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "no-such-file")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsMissing, match="AWS_ACCESS_KEY_ID"):
        list(list_pages(s3_server.client(), "media", ""))
    with pytest.raises(CredentialsMissing):
        s3.make_client(SourceSettings(bucket="media", profile="nobody"))


def test_nobody_listens(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    s3_server.stop()
    with pytest.raises(StoreUnavailable, match=s3_server.url) as error:
        list(list_pages(s3_server.client(), "media", ""))
    assert error.value.retryable


def test_settings_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match="endpoint_url"):
        s3.make_client(SourceSettings(bucket="b", endpoint_url="not a url"))
    client = s3.make_client(SourceSettings(bucket="b", endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(SettingsError, match="a bucket with spaces"):
        list(list_pages(client, "a bucket with spaces", ""))


@pytest.mark.parametrize(
    ("code", "status", "one", "all_of_them"),
    [
        ("AccessDenied", 403, ObjectDenied, CredentialsMissing),
        ("InvalidAccessKeyId", 403, CredentialsMissing, CredentialsMissing),
        ("SignatureDoesNotMatch", 403, CredentialsMissing, CredentialsMissing),
        ("ExpiredToken", 400, CredentialsMissing, CredentialsMissing),
        ("InvalidObjectState", 403, ObjectArchived, ObjectArchived),
        ("PreconditionFailed", 412, ObjectChanged, ObjectChanged),
        ("NoSuchKey", 404, ObjectChanged, BucketNotFound),
        ("NoSuchBucket", 404, BucketNotFound, BucketNotFound),
        ("SlowDown", 503, StoreUnavailable, StoreUnavailable),
        ("InternalError", 500, StoreUnavailable, StoreUnavailable),
        ("PermanentRedirect", 301, SettingsError, SettingsError),
        ("NobodyKnows", 418, StoreUnavailable, StoreUnavailable),
    ],
)
def test_every_answer_has_its_error(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    code: str,
    status: int,
    one: type[SensedexError],
    all_of_them: type[SensedexError],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    client = s3.make_client(SourceSettings(bucket="b", endpoint_url="http://127.0.0.1:9"))
    obj = MediaObject("b", "k", "e", 3, "")
    with Stubber(client) as stub:
        for method in ("get_object", "list_objects_v2"):
            stub.add_client_error(method, code, "said hush AKIATEST", status)
        with pytest.raises(one) as single:
            fetch_to_file(client, obj, tmp_path / "k")
        with pytest.raises(all_of_them) as whole:
            list(list_pages(client, "b", ""))
    for error in (single.value, whole.value):
        assert "hush" not in str(error)
        assert "AKIATEST" not in str(error)
        assert "b" in error.message
        assert error.retryable == isinstance(error, StoreUnavailable | ObjectChanged)


def test_conditional_writes(s3_server: S3Server) -> None:
    client = s3_server.client()
    first = s3.put_bytes(client, "media", "lock", b"1", if_none_match=True)
    with pytest.raises(s3.PreconditionFailed):
        s3.put_bytes(client, "media", "lock", b"2", if_none_match=True)
    second = s3.put_bytes(client, "media", "lock", b"3", if_match=first)
    with pytest.raises(s3.PreconditionFailed):
        s3.put_bytes(client, "media", "lock", b"4", if_match=first)
    assert s3.get_bytes(client, "media", "lock") == (b"3", second)
    s3.delete(client, "media", "lock")
    assert s3.get_bytes(client, "media", "lock") is None
    with pytest.raises(s3.PreconditionFailed):
        s3.put_bytes(client, "media", "lock", b"5", if_match=second)
    with pytest.raises(BucketNotFound):
        s3.put_bytes(client, "nowhere", "lock", b"5", if_none_match=True)


def test_files_up_and_down(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    (tmp_path / "up").write_bytes(b"x" * 10)
    s3.put_file(client, "media", "f", tmp_path / "up")
    assert s3.get_file(client, "media", "f", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b"x" * 10
    assert not s3.get_file(client, "media", "g", tmp_path / "down")
    with pytest.raises(BucketNotFound):
        s3.put_file(client, "nowhere", "f", tmp_path / "up")
    assert list(list_keys(client, "media", "")) == ["f"]
    assert list(list_keys(client, "media", "", start_after="f")) == []


def test_a_presigned_url_plays_the_object(s3_server: S3Server) -> None:
    client = s3_server.client()
    client.put_object(Bucket="media", Key="a b+c.txt", Body=b"hello")
    url = s3.presign(client, only(client), 60)
    assert "Signature" in url
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"hello"
