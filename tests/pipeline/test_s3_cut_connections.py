"""GETs from a server that cuts connections: taken up again, given up, or seen to be a change."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import ObjectChanged, StoreUnavailable
from pipeline.records import MediaObject
from pipeline.s3 import client as s3
from pipeline.s3.fetch import RESUMES_WITHOUT_PROGRESS, fetch_to_file
from pipeline.settings import SourceSettings

BODY = bytes(range(256)) * 8192  # 2 MiB


class CuttingServer:
    """Says how long the object is and hangs up after `cut_after` bytes, `cuts` times."""

    def __init__(self, cuts: int, cut_after: int, *, ranges: bool = True) -> None:
        self.asked: list[tuple[str | None, str | None]] = []
        self.cuts = cuts
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                asked = self.headers["Range"]
                outer.asked.append((asked, self.headers["If-Match"]))
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and ranges else 0
                body = BODY[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"e"')
                self.end_headers()
                if outer.cuts > 0:
                    outer.cuts -= 1
                    body = body[:cut_after]
                self.wfile.write(body)
                self.wfile.flush()
                self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.client = s3.make_client(SourceSettings(bucket="b", endpoint_url=url))

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.server
@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_taken_up_again(tmp_path: Path, ranges: bool) -> None:
    server = CuttingServer(cuts=2, cut_after=700_000, ranges=ranges)
    try:
        obj = MediaObject("b", "k", "e", len(BODY), "")
        fetch_to_file(server.client, obj, tmp_path / "k")
    finally:
        server.stop()
    assert (tmp_path / "k").read_bytes() == BODY
    assert len(server.asked) == 3
    assert {match for _, match in server.asked} == {'"e"'}
    starts = [
        int(asked.removeprefix("bytes=").rstrip("-")) for asked, _ in server.asked[1:] if asked
    ]
    assert len(starts) == 2
    assert all(start > 0 for start in starts)


@pytest.mark.server
@pytest.mark.usefixtures("fast")
def test_a_connection_that_never_gives_a_byte_is_given_up(tmp_path: Path) -> None:
    server = CuttingServer(cuts=100, cut_after=0)
    try:
        with pytest.raises(StoreUnavailable, match="s3://b/k"):
            fetch_to_file(server.client, MediaObject("b", "k", "e", len(BODY), ""), tmp_path / "k")
    finally:
        server.stop()
    assert len(server.asked) == RESUMES_WITHOUT_PROGRESS + 1


@pytest.mark.server
@pytest.mark.usefixtures("fast")
def test_a_length_that_was_not_listed_is_a_change(tmp_path: Path) -> None:
    server = CuttingServer(cuts=0, cut_after=0)
    try:
        with pytest.raises(ObjectChanged, match="listing said 7"):
            fetch_to_file(server.client, MediaObject("b", "k", "e", 7, ""), tmp_path / "k")
    finally:
        server.stop()
