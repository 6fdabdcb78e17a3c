"""Objects read past botocore's client: the same bytes, and whatever is not plain is botocore's."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from flows.cli.demo_server import DemoServer
from pipeline.errors import ObjectChanged, ObjectDenied
from pipeline.records import FetchedObject, MediaObject
from pipeline.s3 import client as s3
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_pages
from pipeline.s3.quick_get import QuickGet
from pipeline.settings import SourceSettings
from tests.support.nasty_keys import KEYS, NO_KEYS_OF_SEAWEED

BODY = bytes(range(256)) * 4096
OBJECT = MediaObject("bucket", "folder/a b+c.jpg", "e", len(BODY), "")


class Answers:
    """A server that answers the first requests with `statuses`, and then with the object; and cuts
    off the first `cuts` bodies."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.cuts = 0
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers["Range"]))
            assert self.headers["If-Match"] == '"e"'
            assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256")
            status = made.statuses.pop(0) if made.statuses else 200
            start = int((self.headers["Range"] or "bytes=0-")[6:-1])
            body = BODY[start:] if status == 200 else b"<Error><Code>Said</Code></Error>"
            self.send_response(206 if start and status == 200 else status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("x-amz-meta-Title", "a dog")
            self.end_headers()
            if made.cuts and status == 200:
                made.cuts -= 1
                body = body[: len(body) // 3]
                self.close_connection = True
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


@contextmanager
def calls_of_botocore(client: s3.S3Client) -> Iterator[list[str]]:
    called: list[str] = []

    def note(model: Any, **_: Any) -> None:
        called.append(model.name)

    client.meta.events.register("before-call.s3", note)
    yield called
    client.meta.events.unregister("before-call.s3", note)


def fetching(answers: Answers, folder: Path) -> tuple[s3.S3Client, QuickGet]:
    """A client that has learnt where the bucket is."""
    source = SourceSettings(bucket="bucket", endpoint_url=answers.url)
    client, quick = s3.make_fetching_client(source)
    assert quick is not None
    cuts, answers.cuts = answers.cuts, 0
    fetch_to_file(client, OBJECT, folder / "first", quick)
    answers.cuts = cuts
    answers.asked.clear()
    return client, quick


def test_nasty_keys_come_back_as_they_are(seaweed_server: DemoServer, tmp_path: Path) -> None:
    source = SourceSettings(bucket=f"b-{uuid.uuid4().hex}", endpoint_url=seaweed_server.url)
    client, quick = s3.make_fetching_client(source)
    client.create_bucket(Bucket=source.bucket)
    keys = [key for key in KEYS if key not in NO_KEYS_OF_SEAWEED]
    assert len(keys) > 15
    for key in keys:
        client.put_object(Bucket=source.bucket, Key=key, Body=key.encode(), Metadata={"n": "1"})
    listed = list(list_pages(client, source.bucket, ""))
    assert len(listed) == len(keys)
    with calls_of_botocore(client) as called:
        for obj in listed:
            found = fetch_to_file(client, obj, tmp_path / "object", quick)
            assert (tmp_path / "object").read_bytes() == obj.key.encode()
            assert found.metadata == {"n": "1"}
    assert called == ["GetObject"]  # of the first, from which the address is learnt
    client.put_object(Bucket=source.bucket, Key=listed[0].key, Body=b"another")
    with pytest.raises(ObjectChanged):
        fetch_to_file(client, listed[0], tmp_path / "object", quick)


def test_dots_and_slashes_of_a_key_are_sent_as_they_are(answers: Answers, tmp_path: Path) -> None:
    client, quick = fetching(answers, tmp_path)
    for key in ("a/../b.jpg", "a//b.jpg", "./a.jpg", "a%2Fb?c#d.jpg"):
        obj = MediaObject("bucket", key, "e", len(BODY), "")
        fetch_to_file(client, obj, tmp_path / "k", quick)
        fetch_to_file(client, obj, tmp_path / "k")
    paths = [path for path, _ in answers.asked]
    assert paths[::2] == paths[1::2]


def test_what_comes_is_as_botocore_gives_it(answers: Answers, tmp_path: Path) -> None:
    client, quick = fetching(answers, tmp_path)
    with calls_of_botocore(client) as called:
        found = fetch_to_file(client, OBJECT, tmp_path / "quick", quick)
        assert called == []
        assert found == fetch_to_file(client, OBJECT, tmp_path / "botocore")
        assert called == ["GetObject"]
    assert found == FetchedObject("image/jpeg", {"Title": "a dog"})
    assert (tmp_path / "quick").read_bytes() == (tmp_path / "botocore").read_bytes() == BODY


def test_a_cut_body_goes_on_where_it_broke(answers: Answers, tmp_path: Path) -> None:
    answers.cuts = 1
    client, quick = fetching(answers, tmp_path)
    fetch_to_file(client, OBJECT, tmp_path / "k", quick)
    assert (tmp_path / "k").read_bytes() == BODY
    [(_, first), (_, second)] = answers.asked
    assert first is None
    assert second == f"bytes={len(BODY) // 3}-"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_botocores_and_asked_quickly_again(
    answers: Answers, tmp_path: Path, status: int
) -> None:
    client, quick = fetching(answers, tmp_path)
    answers.statuses = [status, status]
    with calls_of_botocore(client) as called:
        fetch_to_file(client, OBJECT, tmp_path / "k", quick)
        assert len(called) == 1
        assert len(answers.asked) == 3
        fetch_to_file(client, OBJECT, tmp_path / "k", quick)
        assert len(called) == 1


def test_where_it_is_refused_it_stops(answers: Answers, tmp_path: Path) -> None:
    client, quick = fetching(answers, tmp_path)
    answers.statuses = [403, 403]
    with pytest.raises(ObjectDenied):
        fetch_to_file(client, OBJECT, tmp_path / "k", quick)
    with calls_of_botocore(client) as called:
        fetch_to_file(client, OBJECT, tmp_path / "k", quick)
    assert called == ["GetObject"]
    assert len(answers.asked) == 3


@pytest.mark.parametrize(
    ("bucket", "environment"),
    [
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/a", {}),
        ("media--use1-az4--x-s3", {}),
        ("media", {"HTTPS_PROXY": "http://127.0.0.1:9"}),
        ("media", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
    ],
)
def test_what_is_not_plain_is_left_to_botocore(
    monkeypatch: pytest.MonkeyPatch, bucket: str, environment: dict[str, str]
) -> None:
    source = SourceSettings(bucket=bucket, region="eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert s3.make_fetching_client(source)[1] is None


@pytest.mark.parametrize("bucket", ["media", "media.example.org"])
@pytest.mark.parametrize("version", [None, "a+b/c="])
def test_the_address_is_botocores(bucket: str, version: str | None) -> None:
    client, quick = s3.make_fetching_client(SourceSettings(bucket=bucket, region="eu-central-1"))
    asked: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url)
        return AWSResponse(request.url, 412, {}, SimpleNamespace(stream=lambda: [b""]))

    client.meta.events.register("before-send.s3", answer)
    obj = MediaObject(bucket, "a/b c+%ü.jpg", "e", 1, "", version_id=version)
    with pytest.raises(ObjectChanged):
        fetch_to_file(client, obj, Path(os.devnull))
    assert quick is not None
    quick.learn(obj)
    assert [quick.url_of(obj)] == asked
