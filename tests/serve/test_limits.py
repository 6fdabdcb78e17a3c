"""What a request may take, and what becomes of who takes more: slow, cut off, too much, a bomb."""

from __future__ import annotations

import io
import json
import socket
import time
import zlib
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from PIL import Image

from tests.support import media_files
from tests.support.api_server import KEY, LARGE, OTHER_KEY, ApiServer

PHOTO = json.dumps({"terms": [{"kind": "image", "value": "photo"}]})


def upload(server: ApiServer, body: bytes) -> httpx.Response:
    with server.http(headers={"x-api-key": KEY}) as http:
        return http.post("/v1/search", data={"request": PHOTO}, files={"photo": body})


def connected(server: ApiServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)


def slow_upload(server: ApiServer, length: int = 1000) -> socket.socket:
    """Its headers and the first bytes of its body are there, and no more comes."""
    client = connected(server)
    client.sendall(
        f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {KEY}\r\n"
        "Connection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        "--b\r\nContent-Disposition: form-data; ".encode()
    )
    return client


def answer_of(client: socket.socket) -> tuple[int, dict[str, str]]:
    with client, client.makefile("rb") as file:
        status = int(file.readline().split()[1])
        while file.readline().strip():
            pass
        return status, json.loads(file.read() or b"{}")


def wait_until_received(server: ApiServer, count: int) -> None:
    with server.http(headers={"x-api-key": KEY}) as http:
        while f"sensedex_serve_uploads_at_work {count}.0" not in http.get("/metrics").text:
            time.sleep(0.02)


def still_answers(server: ApiServer) -> None:
    assert upload(server, media_files.jpeg(1)).status_code == 200


def test_a_slow_client_is_not_waited_for(strict: ApiServer) -> None:
    status, problem = answer_of(slow_upload(strict))
    assert (status, problem["code"]) == (408, "too_slow_upload")
    still_answers(strict)


def test_an_upload_that_is_cut_off_takes_no_place(strict: ApiServer) -> None:
    for _ in range(3):
        client = slow_upload(strict)
        wait_until_received(strict, 1)
        client.close()
        wait_until_received(strict, 0)
    still_answers(strict)


def test_more_uploads_than_there_are_places_come_again(strict: ApiServer) -> None:
    held = slow_upload(strict)
    wait_until_received(strict, 1)
    refused = upload(strict, media_files.jpeg(1))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
    assert int(refused.headers["retry-after"]) >= 1
    with strict.http(headers={"x-api-key": KEY}) as http:  # others are answered meanwhile
        words = http.post("/v1/search", json={"terms": [{"kind": "words", "value": "a"}]})
    assert words.status_code == 200
    held.close()
    wait_until_received(strict, 0)
    still_answers(strict)


def test_too_many_bytes(strict: ApiServer) -> None:
    announced = upload(strict, b"x" * 3_000_000)
    assert (announced.status_code, announced.json()["code"]) == (413, "too_large")

    def chunks() -> object:
        yield b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 100_000

    with strict.http(headers={"x-api-key": KEY}) as http:
        try:
            unannounced = http.post(
                "/v1/search",
                content=chunks(),  # type: ignore[arg-type]
                headers={"content-type": "multipart/form-data; boundary=b"},
            )
            assert unannounced.status_code == 413
        except httpx.WriteError:  # the server has hung up on the rest
            pass
        long = http.post("/v1/search", content=b" " * 600_000, headers={
            "content-type": "application/json"})  # fmt: skip
    assert long.status_code == 413
    still_answers(strict)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that claims side x side pixels."""
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_bombs_cost_a_sentence_and_no_memory(strict: ApiServer) -> None:
    still_answers(strict)
    before = psutil.Process().memory_info().rss
    for side in (450, 8_000, 60_000, 2_000_000_000):
        answer = upload(strict, bomb(side))
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_pixels")
    packer = zlib.compressobj(9)
    zeros = b"".join(packer.compress(bytes(10**6)) for _ in range(900)) + packer.flush()
    assert len(zeros) < 1_000_000
    assert upload(strict, zeros).status_code == 422
    assert psutil.Process().memory_info().rss - before < 200_000_000
    still_answers(strict)


@pytest.mark.parametrize("body", [
    b"", b"--b", b"--b--", b"--b\r\n\r\n\r\n--b--", b"\x00" * 500,
    b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n--b--',
    b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n\xff\r\n--b--',
    b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\n{}\r\n--b--',
])  # fmt: skip
def test_a_form_that_is_none(strict: ApiServer, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data", "multipart/mixed"):
        with strict.http(headers={"x-api-key": KEY}) as http:
            answer = http.post("/v1/search", content=body, headers={"content-type": kind})
        assert answer.status_code in (400, 415, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_who_reads_slowly_holds_a_part_and_nobody_up(api: ApiServer) -> None:
    """Forty who take nothing of twelve megabytes: a part each, and not the whole."""
    assert len(api.corpus.objects[LARGE]) > 10_000_000
    api.search("a")
    before = psutil.Process().memory_info().rss
    held = [connected(api) for _ in range(40)]
    for one in held:
        one.sendall(
            f"GET /v1/assets/{api.corpus.id_of(LARGE)}/media HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n\r\n".encode()
        )
    assert [one.recv(12) for one in held] == [b"HTTP/1.1 200"] * 40
    assert api.search("a")["moments"] is not None
    assert psutil.Process().memory_info().rss - before < 250_000_000
    for one in held:
        one.close()


def test_keys_are_asked_for(strict: ApiServer) -> None:
    with strict.http() as http:
        for path in ("/v1/about", "/metrics", "/v1/facets"):
            refused = http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "key_wanted")
            assert refused.headers["www-authenticate"] == "Bearer"
            for key in (KEY, OTHER_KEY):
                assert http.get(path, headers={"x-api-key": key}).status_code == 200
        assert http.get("/health").status_code == 200
        assert http.get("/").status_code == 200


def test_no_secret_is_in_the_log(strict: ApiServer) -> None:
    with strict.http(headers={"authorization": f"Bearer {KEY}"}) as http:
        asset = http.get(f"/v1/assets/{strict.corpus.id_of('films/one.mp4')}").json()
    with strict.http() as http:
        http.get(asset["media_url"])
        http.get("/v1/about", headers={"x-api-key": "a-guess-that-is-wrong"})
    while sum(one.path == "/v1/about" and one.status == 401 for one in strict.asked) == 0:
        time.sleep(0.01)
    told = repr(strict.asked)
    assert "/media" in told
    for secret in (KEY, "signature", "a-guess-that-is-wrong", "X-Amz"):
        assert secret not in told


def test_a_page_of_a_named_origin_may_ask(strict: ApiServer) -> None:
    origin = {"origin": "https://shelf.example"}
    preflight = {**origin, "access-control-request-method": "POST",
                 "access-control-request-headers": "x-api-key,content-type"}  # fmt: skip
    with strict.http() as http:
        assert http.options("/v1/search", headers=preflight).status_code == 200
        asked = http.get("/v1/about", headers={**origin, "x-api-key": KEY})
        assert asked.headers["access-control-allow-origin"] == "https://shelf.example"
        other = http.get("/v1/about", headers={"origin": "https://evil.example", "x-api-key": KEY})
        assert "access-control-allow-origin" not in other.headers


def test_many_connections_that_say_nothing(api: ApiServer) -> None:
    held = [connected(api) for _ in range(100)]
    assert api.search("a")["moments"] is not None
    for one in held:
        one.close()
