"""Searches over HTTP: what is asked by words, files and stored moments, and what comes back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pipeline.search.request import SearchRequest, Term, TermKind
from pipeline.search.searcher import open_searcher
from tests.support import media_files
from tests.support.api_server import FILM, NASTY, PICTURE, SOUND, ApiServer


def form(api: ApiServer, request: dict[str, Any], **files: bytes) -> httpx.Response:
    with api.http() as http:
        return http.post(
            "/v1/search",
            data={"request": json.dumps(request)},
            files={name: (f"../{name}", body) for name, body in files.items()},
        )


def by(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, **more}


def keys(found: dict[str, Any]) -> list[str]:
    return [moment["key"] for moment in found["moments"]]


def test_words_find_what_the_library_finds(api: ApiServer) -> None:
    request = SearchRequest((Term(TermKind.WORDS, "kingfisher"),), limit=4)
    with open_searcher(api.corpus.settings) as searcher:
        wanted = searcher.answer(request)
    found = api.search("kingfisher", limit=4)
    assert [(m["key"], m["start_ms"], m["end_ms"]) for m in found["moments"]] == [
        (m.key, m.start_ms, m.end_ms) for m in wanted.moments
    ]
    first = found["moments"][0]
    assert (first["key"], first["words"]) == (FILM, ["kingfisher"])
    assert first["payload"]["text"] == "A kingfisher dives"
    assert first["media_url"].startswith(f"/v1/assets/{api.corpus.id_of(FILM)}/media?etag=")


def test_pages_follow_one_another(api: ApiServer) -> None:
    asked: dict[str, Any] = {"per_asset": 1, "using": ["vision"]}  # the encoder knows no words
    whole = keys(api.search("a beach", limit=9, **asked))
    first = api.search("a beach", limit=4, **asked)
    second = api.search("a beach", limit=5, cursor=first["cursor"], **asked)
    assert keys(first) + keys(second) == whole
    assert len(set(whole)) == 9


def test_an_uploaded_picture_finds_itself_and_is_remembered(api: ApiServer) -> None:
    answer = form(api, {"terms": [by("image", "photo")]}, photo=api.corpus.objects[PICTURE])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert keys(found)[0] == PICTURE
    assert found["moments"][0]["cosine"] > 0.99
    assert found["moments"][0]["why"][0]["asked"] == "the image"
    value = found["uploads"]["photo"]
    assert value.startswith("sha256:")
    with api.http() as http:
        again = http.post("/v1/search", json={"terms": [by("image", value)]}).json()
        more = {"terms": [by("image", value)], "limit": 3, "cursor": ""}
        page = http.post("/v1/search", json=more).json()
        after = http.post("/v1/search", json={**more, "cursor": page["cursor"]}).json()
    assert keys(again) == keys(found)
    assert not set(keys(page)) & set(keys(after))


def test_sound_video_and_words_are_summed_with_files(api: ApiServer) -> None:
    request = {"terms": [by("sound", "noise"), by("video", "clip", weight=0.5)], "limit": 20}
    files = {"noise": api.corpus.objects[SOUND], "clip": api.corpus.objects[FILM]}
    answer = form(api, request, **files)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["uploads"]) == {"noise", "clip"}
    assert {SOUND, FILM} <= set(keys(answer.json()))


def test_no_path_and_no_address_is_read_for_a_request(api: ApiServer, tmp_path: Any) -> None:
    file = tmp_path / "private.jpg"
    file.write_bytes(media_files.jpeg(1))
    values = (
        str(file),
        f"file://{file}",
        "../request",
        "/etc/passwd",
        "http://127.0.0.1/x.jpg",
        "photo",
    )
    with api.http() as http:
        for kind in ("image", "sound", "video"):
            for value in values:
                for request in (
                    {"json": {"terms": [by(kind, value)]}},
                    {
                        "data": {"request": json.dumps({"terms": [by(kind, value)]})},
                        "files": {"other": b"x"},
                    },
                ):
                    answer = http.post("/v1/search", **request)
                    assert answer.status_code in (400, 422), answer.text
                    assert answer.json()["code"] in ("no_file_term", "multipart")


def test_an_upload_that_is_no_media_is_a_sentence(api: ApiServer) -> None:
    for body in (b"", b"hello", media_files.jpeg(5)[:300], b"#EXTM3U\nfile:///etc/passwd\n"):
        answer = form(api, {"terms": [by("image", "photo")]}, photo=body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "/tmp" not in answer.text
        assert "Traceback" not in answer.text
    assert form(
        api, {"terms": [by("image", "photo")]}, photo=media_files.wav(1, 1.0)
    ).json()["code"] == "no_such_modality"  # fmt: skip


def test_a_value_that_is_forgotten_is_gone(api: ApiServer) -> None:
    with api.http() as http:
        answer = http.post("/v1/search", json={"terms": [by("image", "sha256:" + "0" * 64)]})
    assert (answer.status_code, answer.json()["code"]) == (410, "upload_forgotten")


def test_the_same_words_are_encoded_once(api: ApiServer) -> None:
    def encoded() -> float:
        with api.http() as http:
            lines = http.get("/metrics").text.splitlines()
        return next(float(x.split()[1]) for x in lines if x.startswith("sensedex_serve_encoded_te"))

    before = encoded()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: api.search("a word that nobody has asked for"), range(16)))
    assert encoded() == before + 1


@pytest.mark.parametrize("look", [True, False])
def test_two_hundred_at_once_are_answered(api: ApiServer, look: bool) -> None:
    terms = [by("words", "a dog")]

    def ask(_: int) -> int:
        with api.http() as http:
            answer = http.post(f"/v1/search?look={look}", json={"terms": terms, "limit": 5})
            return answer.status_code

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(ask, range(200))) == {200}


def test_like_a_stored_moment_and_less_like_another(api: ApiServer) -> None:
    terms = [by("point", f"{FILM}@2"), by("point", PICTURE, weight=-0.5)]
    with api.http() as http:
        found = http.post("/v1/search", json={"terms": terms}).json()
        other = http.get(f"/v1/assets/{api.corpus.id_of(FILM)}/similar?at_ms=2000&limit=4").json()
    assert keys(found)[0] == FILM
    assert FILM not in keys(other)
    assert len(other["moments"]) == 4


def test_conditions_narrow(api: ApiServer) -> None:
    found = api.search("x", where=[{"field": "media_type", "equals": "audio"}], using=["audio"])
    assert set(keys(found)) == {SOUND}


def test_every_nasty_key_comes_back_as_it_is_and_opens(api: ApiServer) -> None:
    found = api.search("a picture", limit=100, words=False, using=["vision"])
    there = {moment["key"]: moment for moment in found["moments"]}
    assert set(NASTY) <= set(there)
    with api.http() as http:
        for key in NASTY:
            asset = http.get(there[key]["asset_url"])
            assert asset.json()["key"] == key
            media = http.get(there[key]["media_url"])
            assert media.content == api.corpus.objects[key]
            assert "\n" not in media.headers["content-disposition"]
            assert media.headers["content-disposition"].isascii()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("", "JSON"),
        ("[]", ""),
        ("{}", "terms"),
        ('{"terms": []}', "terms"),
        ('{"terms": [{"kind": "words", "value": "a", "weight": 0}]}', "weight"),
        ('{"terms": [{"kind": "words", "value": "a"}], "lim": 3}', "lim"),
        ('{"terms": [{"kind": "words", "value": "a"}], "limit": 5000}', "limit"),
        ('{"terms": [{"kind": "words", "value": "a"}], "cursor": "zz"}', "cursor"),
        ('{"terms": [{"kind": "words", "value": "a"}], "using": ["smell"]}', "smell"),
        ('{"terms": [{"kind": "words", "value": "a"}], "where": [{"field": "etag"}]}', "etag"),
        ('{"terms": [{"kind": "point", "value": "nobody.mp4@3"}]}', "nobody.mp4"),
    ],
)
def test_what_cannot_be_asked_is_named(api: ApiServer, body: str, named: str) -> None:
    with api.http() as http:
        answer = http.post("/v1/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert named in problem["detail"]
    assert problem["type"] == f"urn:sensedex:problem:{problem['code']}"
    assert problem["request_id"] == answer.headers["x-request-id"]
