"""Large objects come in parts at once: the same bytes, whatever breaks on the way."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flows.cli.demo_server import DemoServer
from pipeline.byte_ranges import ByteRanges
from pipeline.errors import ObjectChanged, StoreUnavailable
from pipeline.records import FetchedObject, MediaObject
from pipeline.s3 import client as s3
from pipeline.s3 import fetch, ranges
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_pages
from pipeline.s3.ranges import NoRangesError, RangedFile
from pipeline.settings import SourceSettings

BODY = np.random.default_rng(0).integers(0, 255, 1_000_003, np.uint8).tobytes()
OBJECT = MediaObject("bucket", "film.mp4", "e", len(BODY), "")
PART_BYTES = 100_000
PARTS = 11


class RangeServer:
    """Gives BODY, or the range of it that is asked for; cuts off the first `cuts` answers after a
    third. After `changed_after` requests it has another ETag. `meets`: the second answer waits for
    the third request."""

    def __init__(self) -> None:
        self.ranges = True
        self.cuts = 0
        self.empty = False
        self.meets = False
        self.changed_after = 10**9
        self.asked: list[str] = []
        self.most_at_once = 0
        self.at_once = 0
        self.url = ""
        self.lock = threading.Lock()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(fetch, "IN_PARTS_FROM_BYTES", PART_BYTES)
    monkeypatch.setattr(fetch, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr(ranges, "PART_BYTES", PART_BYTES)
    made = RangeServer()
    together = threading.Barrier(2, timeout=5)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            asked = self.headers["Range"] or ""
            with made.lock:
                made.asked.append(asked)
                number = len(made.asked)
                cut = made.cuts > 0
                made.cuts -= cut
                made.at_once += 1
                made.most_at_once = max(made.at_once, made.most_at_once)
            if made.meets and 1 < number <= 3:
                together.wait()  # two of them are under way
            if number > made.changed_after:
                self.answer(412, b"", len(b""))
            elif (found := re.fullmatch(r"bytes=(\d+)-(\d+)", asked)) and made.ranges:
                body = BODY[int(found[1]) : int(found[2]) + 1]
                body = b"" if made.empty else body
                self.answer(206, body[: len(body) // 3] if cut else body, len(body))
            else:
                self.answer(200, BODY, len(BODY))
            with made.lock:
                made.at_once -= 1

        def answer(self, status: int, body: bytes, declared: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(declared))
            self.send_header("Content-Type", "video/mp4")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = len(body) < declared

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{http.server_port}"
    yield made
    http.shutdown()
    http.server_close()


def fetched(server: RangeServer, path: Path, obj: MediaObject = OBJECT) -> FetchedObject:
    client = s3.make_client(SourceSettings(bucket="bucket", endpoint_url=server.url))
    return fetch_to_file(client, obj, path)


def test_parts_make_the_whole(server: RangeServer, tmp_path: Path) -> None:
    server.meets = True
    assert fetched(server, tmp_path / "f") == FetchedObject("video/mp4", {})
    assert (tmp_path / "f").read_bytes() == BODY
    assert len(set(server.asked)) == len(server.asked) == PARTS
    assert 2 <= server.most_at_once <= fetch.PARTS_AT_ONCE


def test_what_is_cut_goes_on_where_it_broke(server: RangeServer, tmp_path: Path) -> None:
    server.cuts = 1
    fetched(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert f"bytes={PART_BYTES // 3}-{PART_BYTES - 1}" in server.asked
    assert len(server.asked) == PARTS + 1


def test_a_server_without_ranges_is_asked_for_the_whole(
    server: RangeServer, tmp_path: Path
) -> None:
    server.ranges = False
    fetched(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert len(server.asked) == 2


def test_an_object_that_changes_between_its_parts_is_not_mixed(
    server: RangeServer, tmp_path: Path
) -> None:
    server.changed_after = 5
    with pytest.raises(ObjectChanged):
        fetched(server, tmp_path / "f")


def test_parts_that_give_no_byte_are_given_up(server: RangeServer, tmp_path: Path) -> None:
    server.empty = True
    with pytest.raises(StoreUnavailable, match="s3://bucket/film"):
        fetched(server, tmp_path / "f")
    assert len(server.asked) == fetch.RESUMES_WITHOUT_PROGRESS + 1


def test_a_small_object_is_one_request(server: RangeServer, tmp_path: Path) -> None:
    small = MediaObject("bucket", "film.mp4", "e", PART_BYTES - 1, "")
    with pytest.raises(ObjectChanged, match="listing said"):
        fetched(server, tmp_path / "f", small)  # it is larger here
    assert server.asked == [""]


def test_a_real_server_gives_parts(
    seaweed_server: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "IN_PARTS_FROM_BYTES", PART_BYTES)
    monkeypatch.setattr(fetch, "PART_BYTES", PART_BYTES)
    source = SourceSettings(bucket=f"b-{uuid.uuid4().hex}", endpoint_url=seaweed_server.url)
    client = s3.make_client(source)
    client.create_bucket(Bucket=source.bucket)
    client.put_object(Bucket=source.bucket, Key="film.mp4", Body=BODY)
    [listed] = list_pages(client, source.bucket, "")
    asked: list[str] = []
    client.meta.events.register(
        "before-send.s3", lambda request, **_: asked.append(str(request.headers.get("Range")))
    )
    fetch_to_file(client, listed, tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == BODY
    assert len(set(asked)) == PARTS


def ranged(server: RangeServer, path: Path) -> RangedFile:
    client = s3.make_client(SourceSettings(bucket="bucket", endpoint_url=server.url))
    return RangedFile(client, OBJECT, path)


def test_ranges_lie_where_they_belong_and_come_once(server: RangeServer, tmp_path: Path) -> None:
    server.cuts = 1
    file = ranged(server, tmp_path / "f")
    assert file.read(1000, 1010) == BODY[1000:1010]
    wanted = ByteRanges([(500_000, 730_000), (999_999, len(BODY))])
    file.fetch(wanted)
    file.fetch(wanted)
    assert file.found == FetchedObject("video/mp4", {})
    data = (tmp_path / "f").read_bytes()
    assert len(data) == len(BODY)
    assert all(data[start:stop] == BODY[start:stop] for start, stop in wanted)
    asked = len(server.asked)
    file.read(500_000, 500_100)
    assert len(server.asked) == asked
    file.fetch_rest()
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_without_ranges_gives_no_part(server: RangeServer, tmp_path: Path) -> None:
    file = ranged(server, tmp_path / "f")
    server.ranges = False
    with pytest.raises(NoRangesError):
        file.read(0, 10)
    server.ranges = True
    file.read(0, 10)
    server.ranges = False
    with pytest.raises(StoreUnavailable, match="s3://bucket/film"):
        file.fetch_rest()


def test_parts_of_another_version_are_never_mixed_in(server: RangeServer, tmp_path: Path) -> None:
    file = ranged(server, tmp_path / "f")
    file.read(0, 10)
    server.changed_after = 4
    with pytest.raises(ObjectChanged):
        file.fetch_rest()
