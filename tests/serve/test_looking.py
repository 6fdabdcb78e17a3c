"""Assets, their windows, facets, runs, and the page, over HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pipeline.serve.api import PAGE
from tests.support.api_server import FILM, PICTURE, SOUND, ApiServer


def got(api: ApiServer, path: str, status: int = 200) -> Any:
    with api.http() as http:
        answer = http.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_an_asset(api: ApiServer) -> None:
    asset = got(api, f"/v1/assets/{api.corpus.id_of(FILM)}")
    assert (asset["key"], asset["media_type"], asset["mime"]) == (FILM, "video", "video/mp4")
    assert (asset["segments"], asset["duration_ms"], asset["stale"]) == (3, 6000, None)
    assert asset["size_bytes"] == len(api.corpus.objects[FILM])
    assert asset["payload"]["sidecar_keys"] == ["films/one.srt"]
    for bad in ("nobody", "00000000-0000-0000-0000-000000000000", "..%2F..%2Fetc", "%00"):
        assert got(api, f"/v1/assets/{bad}", 404)["code"] in ("no_asset", "not_found")


def test_windows_in_pages_and_by_score(api: ApiServer) -> None:
    place = f"/v1/assets/{api.corpus.id_of(FILM)}/segments"
    whole = got(api, place)
    assert [s["start_ms"] for s in whole["segments"]] == [0, 2000, 4000]
    assert [s["text"] for s in whole["segments"]] == ["", "A kingfisher dives", ""]
    assert (whole["total"], whole["cursor"]) == (3, "")
    assert all(s["scores"] is None and s["poster_url"] for s in whole["segments"])
    first = got(api, f"{place}?limit=2")
    rest = got(api, f"{place}?limit=2&cursor={first['cursor']}")
    assert first["segments"] + rest["segments"] == whole["segments"]
    search = {"terms": [{"kind": "point", "value": f"{FILM}@4"}]}
    with api.http() as http:
        scored = http.post(place, json=search).json()
    scores = [s["scores"] for s in scored["segments"]]
    assert max(range(3), key=lambda n: scores[n]["vision"]) == 2
    # Its picture and its sound were added up: the sum is as near to the one as to the other.
    assert scores[2] == {name: pytest.approx(0.69, abs=0.1) for name in ("vision", "audio")}
    assert got(api, f"{place}?cursor=x", 422)["code"] == "request"
    assert got(api, f"{place}?limit=0", 422)["detail"].startswith("limit: ")


def test_facets_with_and_without_conditions(api: ApiServer) -> None:
    found = got(api, "/v1/facets")
    by_field = {facet["field"]: facet["values"] for facet in found["facets"]}
    pictures = sum(not key.startswith(("films", "sounds")) for key in api.corpus.objects)
    assert {v["value"]: v["count"] for v in by_field["media_type"]} == {
        "image": pictures, "video": 3, "audio": 3,
    }  # fmt: skip
    assert {r["field"] for r in found["ranges"]} == {
        "asset_duration_ms", "last_modified", "size_bytes",
    }  # fmt: skip
    narrowed = got(api, "/v1/facets?field=has_text&where=type%3Dvideo&where=time%3E%3D2")
    assert narrowed["segments"] == 2
    assert narrowed["facets"] == [
        {"field": "has_text", "values": [{"value": False, "count": 1}, {"value": True, "count": 1}]}
    ]
    for bad in ("field=start_ms", "field=etag", "where=smell%3D3", "where=x", "limit=0"):
        assert got(api, f"/v1/facets?{bad}", 422)["code"] == "request"


def test_runs_and_a_report(api: ApiServer) -> None:
    runs = got(api, "/v1/runs")
    assert len(runs["runs"]) == 1
    assert runs["running"] is None
    run = runs["runs"][0]
    assert run["segments"] == got(api, "/v1/about")["segments"]
    report = got(api, f"/v1/report?run={run['run_id']}")
    assert report == got(api, "/v1/report")
    assert report["objects_by_status"] == run["objects_by_status"]
    assert got(api, "/v1/report?run=nobody", 404)["code"] == "no_report"


def test_what_is_served(api: ApiServer) -> None:
    about = got(api, "/v1/about")
    assert {v["name"] for v in about["vectors"]} >= {"vision", "audio", "text"}
    assert about["limits"]["upload_bytes"] == 32_000_000
    assert "media_type" in {f["field"] for f in about["filters"]}
    assert got(api, "/health") == {"status": "ok"}
    assert got(api, "/ready") == {"status": "ready", "checks": {"encoder": "ok", "index": "ok"}}


def test_metrics_count_searches_by_how_long_they_took(api: ApiServer) -> None:
    api.search("a")
    got(api, f"/v1/assets/{api.corpus.id_of(PICTURE)}")
    with api.http() as http:
        text = http.get("/metrics").text
    assert 'sensedex_serve_search_seconds_bucket{le="+Inf"}' in text
    assert 'sensedex_serve_requests_total{method="POST",route="/v1/search",status="200"}' in text
    assert 'route="/v1/assets/{asset_id}"' in text
    assert SOUND not in text


def test_the_page_runs_nothing_but_its_own_files(api: ApiServer) -> None:
    with api.http() as http:
        page = http.get("/")
        for name in ("app.js", "style.css"):
            assert http.get(f"/{name}").content == (PAGE / name).read_bytes()
    assert page.content == (PAGE / "index.html").read_bytes()
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"):
        assert part in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "server" not in page.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/../pyproject.toml", 404, "not_found"),
        ("GET", "/..%2f..%2fserver.py", 404, "not_found"),
        ("GET", "/v1/search", 405, "method"),
        ("DELETE", "/v1/search", 405, "method"),
        ("PUT", "/", 405, "method"),
        ("POST", "/v1/search", 415, "content_type"),
    ],
)
def test_every_error_is_a_problem_document(
    api: ApiServer, method: str, path: str, status: int, code: str
) -> None:
    with api.http() as http:
        answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.content)
    assert (told["status"], told["code"]) == (status, code)
    assert set(told) == {"type", "title", "status", "detail", "code", "remedy", "request_id"}
    assert "x-problem-code" not in answer.headers


def test_a_defect_tells_its_id_and_no_more(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.serve.service import Service

    async def broken(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(Service, "about", broken)
    told = got(api, "/v1/about", 500)
    assert told["code"] == "defect"
    assert "secret" not in json.dumps(told)
    # The log is told when the answer has ended, which is just after the client has it.
    while not (logged := [one for one in api.asked if one.request_id == told["request_id"]]):
        time.sleep(0.01)
    assert "a secret of the inside" in str(logged[0].error)
