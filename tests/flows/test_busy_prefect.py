"""A Prefect server that is busy is one to ask again, not one that refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.automations import find_automation
from flows.deploy import PrefectRefused, prefect_client
from flows.prefect_server import PrefectUnavailable
from pipeline.errors import SensedexError

pytestmark = [pytest.mark.prefect, pytest.mark.server]


@contextmanager
def answering(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(503, PrefectUnavailable, True), (403, PrefectRefused, False)],
)
def test_what_its_answer_means(status: int, kind: type[SensedexError], retryable: bool) -> None:
    with answering(status) as url:
        ours = {PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}
        with (
            temporary_settings(ours),
            pytest.raises(kind, match=str(status)) as refused,
            prefect_client() as client,
        ):
            find_automation(client, "any")
    assert refused.value.retryable is retryable
