"""Metrics of a run: what is scraped, pushed and written is what its report says."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from flows.cli.demo_server import DemoServer
from pipeline.errors import IndexUnavailable
from pipeline.index.vector_index import VectorIndex
from pipeline.metrics.collector import LAST_WHOLE_RUN, RunCollector
from pipeline.metrics.publish import NOT_PUBLISHED, published
from pipeline.metrics.table import EVENTS_ALONE, METRICS
from pipeline.progress import RunProgress, Stage, StageProgress
from pipeline.run.observers import watched_run
from pipeline.run.whole_run import run_index
from pipeline.run_events import LeaseTaken, RunEnded, RunEvent, Searched, ShardLoaded, Warned
from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings
from pipeline.settings_metrics import MetricsSettings
from tests.metrics_docs import DOCUMENT, draw, with_metrics
from tests.support import media_files
from tests.support.free_port import free_port
from tests.support.run_settings import settings_for
from tests.support.scraped import agree, by_label, names, samples, text_of


class _Gateway(BaseHTTPRequestHandler):
    taken: ClassVar[list[tuple[str, str, str]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.taken.append((self.command, self.path, body))
        self.send_response(200)
        self.end_headers()

    do_PUT = do_POST  # noqa: N815  http.server's name

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def gateway() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """A server that takes what is pushed to it."""
    taken: list[tuple[str, str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("G", (_Gateway,), {"taken": taken}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_run_is_told_by_every_way(
    seaweed_server: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SourceSettings(bucket=f"b-{uuid.uuid4().hex}", endpoint_url=seaweed_server.url)
    client = s3.make_client(source)
    client.create_bucket(Bucket=source.bucket)
    objects = {f"{n}.jpg": media_files.jpeg(n) for n in range(4)}
    objects |= {"a.wav": media_files.wav(1), "no.jpg": b"this is no picture"}
    for key, body in objects.items():
        client.put_object(Bucket=source.bucket, Key=key, Body=body)
    queries = tmp_path / "queries.jsonl"
    row = {"query": "a cow", "modality": "text", "expected": [{"key": "1.jpg"}]}
    queries.write_text(json.dumps(row) + "\n")
    port, file = free_port(), tmp_path / "sensedex.prom"
    scraped: list[str] = []

    def scrape(event: RunEvent) -> None:
        """While it goes on, and at its end."""
        if isinstance(event, (Searched, RunEnded)):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                scraped.append(answer.read().decode())

    flip, refused = VectorIndex.flip, []

    def flip_the_second_time(self: VectorIndex, *given: Any, **more: Any) -> None:
        if not refused:
            refused.append(1)
            raise IndexUnavailable("No answer.", code="index_unavailable")
        flip(self, *given, **more)

    monkeypatch.setattr(VectorIndex, "flip", flip_the_second_time)
    with gateway() as (url, taken):
        settings = settings_for(
            tmp_path, seaweed_server.url, bucket=source.bucket,
            encode__encoder="imagebind-demo", embed__engine="loop", state__shard_objects=4,
            search__queries=queries, metrics__port=port, metrics__pushgateway=url,
            metrics__textfile=file, metrics__every_s=0.2,
        )  # fmt: skip
        report = run_index(settings, on_event=scrape)
        again = run_index(settings)
    while_searching, at_the_end = map(samples, scraped)
    of_runs = set(METRICS) - EVENTS_ALONE
    assert names(while_searching) == of_runs - {LAST_WHOLE_RUN}, "none was whole before"
    assert names(at_the_end) == of_runs - {"sensedex_lease_age_seconds"}
    [age] = [v for (name, _), v in while_searching.items() if name == "sensedex_lease_age_seconds"]
    assert 0 <= age <= settings.state.lease_ttl_s
    agree(at_the_end, report)
    assert by_label(at_the_end, "sensedex_shards_total") == {
        "planned": 2, "committed": 2, "loaded": 2,
    }  # fmt: skip
    assert by_label(at_the_end, "sensedex_retries_total") == {"index_unavailable": 1}
    assert set(by_label(at_the_end, "sensedex_queue_depth").values()) == {0}
    assert at_the_end["sensedex_search_seconds_count", ()] == 1
    assert at_the_end["sensedex_upsert_seconds_count", ()] >= 2
    lag = "sensedex_bucket_lag_seconds", ()
    assert while_searching[lag] > 0
    assert at_the_end[lag] == 0

    first = [body for _, _, body in taken if report.run_id in body]
    assert samples(first[-1]) == at_the_end
    pushed = {(method, path) for method, path, _ in taken}
    assert pushed == {("POST", "/metrics/job/sensedex/collection/media")}
    assert again.objects_by_status == {"unchanged": 6}
    left = samples(file.read_text())
    assert by_label(left, "sensedex_objects_total") == dict(again.objects_by_status)
    assert left[LAST_WHOLE_RUN, ()] > at_the_end[LAST_WHOLE_RUN, ()]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_a_counter_does_not_fall() -> None:
    """What a lost worker had done is taken back until another has done it."""
    collector = RunCollector()
    for done in (5, 3, 6):
        collector.see(RunProgress("embedding", stages={Stage.ENCODE: StageProgress(segments=done)}))
        found = by_label(text_of(collector), "sensedex_windows_total")["encode"]
        assert found == max(done, 5)


def test_queues_are_what_the_stage_before_is_ahead() -> None:
    stages = {Stage.FETCH: 9, Stage.DECODE: 7, Stage.ENCODE: 7, Stage.WRITE: 4, Stage.LOAD: 5}
    collector = RunCollector()
    done = {stage: StageProgress(objects=count) for stage, count in stages.items()}
    collector.see(RunProgress("embedding", total_objects=12, stages=done))
    assert by_label(text_of(collector), "sensedex_queue_depth") == {
        "fetch": 3, "decode": 2, "encode": 0, "write": 3, "load": 0,
    }  # fmt: skip


def test_each_measurement_is_in_its_bucket() -> None:
    collector = RunCollector()
    collector.hear(ShardLoaded(0, 10, 1.0, (0.001, 0.0011, 100.0)))
    found = text_of(collector)
    buckets = by_label(found, "sensedex_upsert_seconds_bucket")
    assert (buckets["0.001"], buckets["0.0025"], buckets["60.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert found["sensedex_upsert_seconds_sum", ()] == pytest.approx(100.0021)


def test_a_measurement_names_its_trace() -> None:
    """In OpenMetrics, which has exemplars; the plain text format has none."""
    collector = RunCollector(exemplar=lambda: {"trace_id": "4bf92f35"})
    collector.hear(Searched(0.02))
    registry = CollectorRegistry()
    registry.register(collector)
    text = openmetrics(registry).decode()
    [line] = [line for line in text.splitlines() if "trace_id" in line]
    assert line.startswith('sensedex_search_seconds_bucket{le="0.025"} 1.0 # {trace_id="4bf92f35"}')
    assert "trace_id" not in generate_latest(registry).decode()


@pytest.mark.server
def test_a_run_that_is_not_whole_leaves_when_one_was(tmp_path: Path) -> None:
    file = tmp_path / "s.prom"
    file.write_text(f"# HELP {LAST_WHOLE_RUN} x\n{LAST_WHOLE_RUN} 1.7e+09\n")
    with gateway() as (url, taken):
        settings = MetricsSettings(textfile=file, pushgateway=url)
        with published(settings, "films", lambda *_: None) as collector:
            collector.hear(LeaseTaken("r", 1, lambda: 0.0, 1.6e9))
            collector.hear(RunEnded("lease_lost", "It is lost."))
    assert samples(file.read_text())[LAST_WHOLE_RUN, ()] == 1.7e9
    assert [LAST_WHOLE_RUN in body for _, _, body in taken] == [False]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.server
def test_a_way_that_fails_is_said_once_and_no_run_fails(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = MetricsSettings(
            port=other.getsockname()[1],
            pushgateway=f"http://127.0.0.1:{free_port()}",
            textfile=tmp_path / "no folder" / "s.prom",
            every_s=0.01,
        )
        with published(settings, "films", lambda *what: said.append(what)) as collector:
            collector.hear(Searched(0.1))
            threading.Event().wait(0.3)  # some more tries
    assert [code for code, _ in said] == [NOT_PUBLISHED] * 3
    told = " ".join(message for _, message in said)
    for way in ("metrics.port", "metrics.pushgateway", "metrics.textfile"):
        assert told.count(way) == 1


@pytest.mark.server
def test_what_fails_at_the_start_reaches_who_looks_on(tmp_path: Path) -> None:
    told: list[RunEvent] = []
    phases: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = settings_for(tmp_path, metrics__port=other.getsockname()[1])
        with watched_run(settings, lambda now: phases.append(now.phase), told.append):
            pass
    [warned] = told
    assert isinstance(warned, Warned)
    assert phases == [warned.message, "starting"]


def test_the_document_is_drawn_from_the_table() -> None:
    """Where this fails: python -m tests.metrics_docs"""
    document = DOCUMENT.read_text()
    assert document == with_metrics(document, draw(METRICS.values()))
