"""Media and posters: ranges, redirects, and what is no longer what was indexed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.support import media_files
from tests.support.api_server import FILM, KEY, PICTURE, SOUND, ApiServer


def media(api: ApiServer, key: str, **more: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in more.items())
    return f"/v1/assets/{api.corpus.id_of(key)}/media?{query}"


def test_the_whole_object(api: ApiServer) -> None:
    with api.http() as http:
        answer = http.get(media(api, FILM))
        head = http.head(media(api, FILM))
    assert answer.status_code == head.status_code == 200
    assert answer.content == api.corpus.objects[FILM]
    assert head.content == b""
    for name in ("content-length", "etag", "last-modified", "accept-ranges", "content-type"):
        assert answer.headers[name] == head.headers[name]
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("asked", "begin", "end"), [
    ("bytes=0-", 0, None), ("bytes=100-199", 100, 200), ("bytes=-100", -100, None),
])  # fmt: skip
def test_a_part_of_it(api: ApiServer, asked: str, begin: int, end: int | None) -> None:
    body = api.corpus.objects[FILM]
    with api.http() as http:
        answer = http.get(media(api, FILM), headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == body[begin:end]
    start = begin % len(body)
    stop = start + len(answer.content)
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(body)}"


def test_conditions_and_what_is_beyond_the_end(api: ApiServer) -> None:
    with api.http() as http:
        etag = http.head(media(api, SOUND)).headers["etag"]
        same = http.get(media(api, SOUND), headers={"if-none-match": etag})
        other = http.get(media(api, SOUND), headers={"range": "bytes=0-9", "if-range": '"x"'})
        fits = http.get(media(api, SOUND), headers={"range": "bytes=0-9", "if-range": etag})
        beyond = http.get(media(api, SOUND), headers={"range": "bytes=99999999-"})
    assert (same.status_code, other.status_code, fits.status_code) == (304, 200, 206)
    assert other.content == api.corpus.objects[SOUND]
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(api.corpus.objects[SOUND])}"
    assert beyond.json()["code"] == "range"


def test_a_poster_is_of_its_time(api: ApiServer) -> None:
    def poster(at_ms: int, accept: str = "image/webp", width: int = 320) -> httpx.Response:
        address = f"/v1/assets/{api.corpus.id_of(FILM)}/poster?at_ms={at_ms}&width={width}"
        with api.http() as http:
            return http.get(address, headers={"accept": accept})

    def like(answer: httpx.Response, shot: int) -> float:
        shown = Image.open(io.BytesIO(answer.content)).convert("RGB").resize((40, 30))
        made = Image.fromarray(media_files.picture_array(7000 + shot)).resize((40, 30))
        pairs = zip(shown.tobytes(), made.tobytes(), strict=True)
        return sum(abs(a - b) for a, b in pairs) / 3600

    first, third = poster(500), poster(5000, "image/jpeg")
    assert first.headers["content-type"] == "image/webp"
    assert third.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(first.content)).size == (320, 240)
    assert max(Image.open(io.BytesIO(poster(500, width=100).content)).size) == 160
    assert like(first, 0) < 8 < like(first, 2)
    assert like(third, 2) < 8 < like(third, 0)
    assert poster(10**9).status_code == 200  # the last frame


def test_a_poster_of_a_picture_and_none_of_a_sound(api: ApiServer) -> None:
    with api.http() as http:
        picture = http.get(f"/v1/assets/{api.corpus.id_of(PICTURE)}/poster")
        sound = http.get(f"/v1/assets/{api.corpus.id_of(SOUND)}/poster")
    assert Image.open(io.BytesIO(picture.content)).size == (320, 240)
    assert (sound.status_code, sound.json()["code"]) == (404, "no_poster")


@pytest.fixture
def changed(api: ApiServer) -> Iterator[dict[str, str]]:
    """An object that has another content, and one that is gone, until the test has ended."""
    client, bucket = api.corpus.client(), api.corpus.bucket
    kept = {key: api.corpus.objects[key] for key in ("pictures/1.jpg", "pictures/2.jpg")}
    client.put_object(Bucket=bucket, Key="pictures/1.jpg", Body=b"another content")
    client.delete_object(Bucket=bucket, Key="pictures/2.jpg")
    yield {"pictures/1.jpg": "object_changed", "pictures/2.jpg": "object_gone"}
    for key, body in kept.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)


def test_what_is_no_longer_there_is_not_played(
    api: ApiServer, strict: ApiServer, changed: dict[str, str]
) -> None:
    with api.http() as http, strict.http(headers={"x-api-key": KEY}) as guarded:
        for key, code in changed.items():
            for client in (http, guarded):
                whole = client.get(media(api, key))
                assert (whole.status_code, whole.json()["code"]) == (410, code)
                part = client.get(media(api, key), headers={"range": "bytes=0-9"})
                assert part.status_code == 410
                assert client.head(media(api, key)).status_code == 410
            poster = http.get(f"/v1/assets/{api.corpus.id_of(key)}/poster?at_ms=0&width=640")
            assert (poster.status_code, poster.json()["code"]) == (410, code)
            asset = http.get(f"/v1/assets/{api.corpus.id_of(key)}").json()
            assert (asset["stale"], asset["media_url"], asset["poster_url"]) == (code, None, None)
    found = api.search("a", limit=100, words=False, using=["vision"])
    stale = {m["key"]: m["stale"] for m in found["moments"] if m["stale"]}
    assert stale == changed
    assert all(m["media_url"] is None for m in found["moments"] if m["stale"])
    unseen = {"terms": [{"kind": "words", "value": "a"}], "limit": 100, "using": ["vision"]}
    with api.http() as http:
        answer = http.post("/v1/search?look=false", json=unseen).json()
    assert all(m["media_url"] and m["stale"] is None for m in answer["moments"])


def test_a_link_of_another_content_is_gone(api: ApiServer) -> None:
    with api.http() as http:
        answer = http.get(media(api, FILM, etag="of-yesterday"))
    assert (answer.status_code, answer.json()["code"]) == (410, "object_changed")


def test_a_redirect_leads_to_the_bucket(strict: ApiServer) -> None:
    found = strict.corpus
    with strict.http(headers={"x-api-key": KEY}) as http:
        answer = http.get(media(strict, FILM))
        page = http.get("/")
    assert answer.status_code == 307
    endpoint = found.settings.source.endpoint_url
    assert answer.headers["location"].startswith(f"{endpoint}/{found.bucket}/films/one.mp4?")
    assert httpx.get(answer.headers["location"], trust_env=False).content == found.objects[FILM]
    assert f"media-src 'self' blob: {endpoint}" in page.headers["content-security-policy"]


def test_links_of_answers_play_without_a_key(strict: ApiServer) -> None:
    with strict.http(headers={"authorization": f"Bearer {KEY}"}) as http:
        asset = http.get(f"/v1/assets/{strict.corpus.id_of(FILM)}").json()
    with strict.http() as http:
        assert http.get(asset["media_url"]).status_code == 307
        assert http.get(asset["poster_url"]).status_code == 200
        assert http.get(urlsplit(asset["media_url"]).path).status_code == 401
        assert http.get(asset["segments_url"]).status_code == 401
        forged = asset["media_url"].replace("expires=1", "expires=2")
        assert http.get(forged).status_code == 401
