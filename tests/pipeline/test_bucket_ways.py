"""Ways to a bucket that is not plain: tags, requester pays, KMS, access points, gs://."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse

from flows.cli.demo_server import DemoServer
from pipeline.embed.fetch import Fetcher
from pipeline.errors import ObjectDenied, SensedexError
from pipeline.index.vector_index import open_index
from pipeline.records import Action, MediaObject, PlanRow
from pipeline.run.whole_run import run_index
from pipeline.s3 import client as s3
from pipeline.s3.look import look
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.source import open_source
from tests.older_state import stored_points
from tests.support import media_files
from tests.support.iam_guard import Guard, Policy
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server, fill

ARN = "arn:aws:s3:eu-central-1:123456789012:accesspoint/films"


def test_tags_go_to_the_payload(seaweed_server: DemoServer, tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, seaweed_server.url, bucket=f"b-{uuid.uuid4().hex}",
        encode__encoder="imagebind-demo", embed__engine="loop",
        source__object_tags=["project", "none has this"],
    )  # fmt: skip
    client = s3.make_client(settings.source)
    client.create_bucket(Bucket=settings.source.bucket)
    for number, tags in enumerate(("project=Zoo%20%C3%BC&owner=ann", "owner=bob", "")):
        client.put_object(
            Bucket=settings.source.bucket, Key=f"{number}.jpg", Body=media_files.jpeg(number),
            Tagging=tags,
        )  # fmt: skip
    assert run_index(settings).objects_by_status == {"indexed": 3}
    found = {
        (payload["kind"], payload["key"]): payload.get("object_tags")
        for payload in stored_points(settings).values()
    }
    wanted = {"0.jpg": {"project": "Zoo ü"}, "1.jpg": None, "2.jpg": None}
    assert found == {(kind, k): t for kind in ("segment", "asset") for k, t in wanted.items()}
    with open_index(settings.index) as index:
        assert index.count() == 3
    every = settings.source.model_copy(update={"object_tags": ("*",)})
    first = next(open_source(every).listed())
    assert open_source(every).tags(first) == {"project": "Zoo ü", "owner": "ann"}


def test_tags_are_asked_for_where_they_are_wanted(
    s3_server: S3Server, root_dir: Path, tmp_path: Path
) -> None:
    """One request an object, and none for what lies beside it; without the right, the object is
    denied with the right's name."""
    fill(s3_server, {"a.jpg": b"x", "a.txt": b"words"})
    obj, beside = open_source(s3_server.settings()).listed()
    row = PlanRow(Action.NEW, obj, "a", "g", "new", (beside,), shard=0)
    asked: list[str] = []
    app = s3_server._app

    def noted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked.append(environ.get("QUERY_STRING", ""))
        return app(environ, start_response)  # type: ignore[no-any-return]

    s3_server._app = noted  # type: ignore[assignment]
    for tags, requests in (((), 0), (("project",), 1)):
        asked.clear()
        fetched = Fetcher(s3_server.settings(object_tags=tags), DecodeSettings(), tmp_path).fetch(
            row
        )
        assert fetched.error is None
        assert sum("tagging" in query for query in asked) == requests
    policy = Policy.read(root_dir / "infra/iam/writer.json", source_bucket="media")
    guard = Guard(s3_server, policy)
    source = s3_server.settings(object_tags=("project",))
    assert Fetcher(source, DecodeSettings(), tmp_path).fetch(row).error is None
    guard.policy = Policy.read(root_dir / "infra/iam/reader.json", source_bucket="media")
    error = Fetcher(source, DecodeSettings(), tmp_path).fetch(row).error
    assert isinstance(error, ObjectDenied)
    assert "s3:GetObjectTagging" in error.remedy


def test_who_asks_pays(s3_server: S3Server, tmp_path: Path) -> None:
    """Every read says so, a link in its query; nothing else does."""
    fill(s3_server, {"a.jpg": b"x"})
    said: list[str | None] = []
    app = s3_server._app

    def noted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said.append(environ.get("HTTP_X_AMZ_REQUEST_PAYER"))
        return app(environ, start_response)  # type: ignore[no-any-return]

    s3_server._app = noted  # type: ignore[assignment]
    for pays, header in ((True, "requester"), (False, None)):
        said.clear()
        source = s3_server.settings(requester_pays=pays, object_tags=("*",))
        place, client = open_source(source), s3.make_client(source)
        [obj] = place.listed()
        for _ in range(2):
            place.fetch(obj, tmp_path / "object")
        place.tags(obj)
        assert look(client, "media", "a.jpg", None) is not None
        assert said == [header] * 5
        # Of the older signature and of the newer one, which is all that this region takes.
        there = SourceSettings(bucket="media", region="eu-central-1", requester_pays=pays)
        for by in (client, s3.make_client(there)):
            link = parse_qs(urlsplit(s3.presign(by, obj, 60)).query)
            assert link.get("x-amz-request-payer") == ([header] if header else None)
            assert link.get("X-Amz-SignedHeaders", ["host"]) == ["host"]
        assert "X-Amz-SignedHeaders" in link


def test_what_is_encrypted_by_kms_is_read(s3_server: S3Server, tmp_path: Path) -> None:
    """Its ETag is no MD5, and is the one that is asked for all the same."""
    client = s3_server.client()
    client.put_object(
        Bucket="media", Key="a.jpg", Body=b"secret", ServerSideEncryption="aws:kms",
        SSEKMSKeyId="arn:aws:kms:us-east-1:123456789012:key/a",
    )  # fmt: skip
    assert client.head_object(Bucket="media", Key="a.jpg")["ServerSideEncryption"] == "aws:kms"
    place = open_source(s3_server.settings())
    [obj] = place.listed()
    place.fetch(obj, tmp_path / "object")
    assert (tmp_path / "object").read_bytes() == b"secret"


def hosts_of(source: SourceSettings, obj: MediaObject, folder: Path) -> list[str]:
    """Where a listing and a fetch go: nothing leaves this machine."""
    place: Any = open_source(source)
    asked: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url.partition("?")[0])
        return AWSResponse(request.url, 404, {}, SimpleNamespace(stream=lambda: [b""]))

    place._client.meta.events.register("before-send.s3", answer)
    for call in (lambda: list(place.listed()), lambda: place.fetch(obj, folder / "object")):
        with pytest.raises(SensedexError):
            call()
    return asked


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (None, "https://films-123456789012.s3-accesspoint.eu-central-1.amazonaws.com"),
        ("https://accesspoint.example.org", "https://films-123456789012.accesspoint.example.org"),
    ],
)
def test_an_access_point_is_a_bucket(endpoint: str | None, host: str, tmp_path: Path) -> None:
    source = SourceSettings(
        places=(f"s3://{ARN}/2026/",), endpoint_url=endpoint, region="eu-central-1"
    )
    obj = MediaObject(ARN, "2026/a b.jpg", "e", 1, "")
    assert hosts_of(source, obj, tmp_path) == [f"{host}/", f"{host}/2026/a%20b.jpg"]
    assert obj.uri == f"s3://{ARN}/2026/a b.jpg"


@pytest.mark.usefixtures("_credentials")
def test_google_is_asked_at_its_own_endpoint(tmp_path: Path) -> None:
    source = SourceSettings(places=("gs://films/2026/",))
    obj = MediaObject("films", "2026/a.jpg", "e", 1, "")
    assert hosts_of(source, obj, tmp_path) == [
        "https://storage.googleapis.com/films",
        "https://storage.googleapis.com/films/2026/a.jpg",
    ]
