"""A run's trace, as a receiver of OTLP over HTTP gets it; and what happens where there is none."""

from __future__ import annotations

import sys
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.errors import BucketNotFound
from pipeline.metrics.table import EVENT_WAIT
from pipeline.metrics.traces import NOT_SENT, traced, traces_wanted
from pipeline.run.event_loop import Until, run_events
from pipeline.run.whole_run import run_index
from pipeline.run_events import NotificationsDone, RunEnded, RunEvent, TraceBegun
from pipeline.settings_metrics import MetricsSettings
from tests.support import media_files
from tests.support.event_bodies import by_s3
from tests.support.event_scene import EventScene, refuse_the_first_load
from tests.support.free_port import free_port
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server, fill

# So that every object is a slow one.
NO_TIME = 1e-6


class _Receiver(BaseHTTPRequestHandler):
    spans: ClassVar[list[Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        asked = ExportTraceServiceRequest.FromString(body)
        for resource in asked.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """An address that takes spans, and those that it got."""
    spans: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("R", (_Receiver,), {"spans": spans}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def facts(span: Any) -> dict[str, Any]:
    return {
        a.key.removeprefix("sensedex."): a.value.string_value or a.value.int_value
        for a in span.attributes
    }


def test_a_run_is_a_trace_and_a_measurement_names_it(s3_server: S3Server, tmp_path: Path) -> None:
    pictures = {f"{n}.jpg": media_files.jpeg(n) for n in range(4)}
    fill(s3_server, pictures | {"no.jpg": b"this is no picture"})
    events: list[RunEvent] = []
    file = tmp_path / "s.prom"
    with receiver() as (url, spans):
        settings = settings_for(
            tmp_path, s3_server.url, encode__encoder="imagebind-demo", embed__engine="loop",
            state__shard_objects=2, metrics__otlp_endpoint=url, metrics__slow_object_s=NO_TIME,
            metrics__textfile=file,
        )  # fmt: skip
        report = run_index(settings, on_event=events.append)
    by_name = defaultdict(list)
    for span in spans:
        by_name[span.name.partition(" ")[0]].append(span)
    [run] = by_name["run"]
    assert facts(run)["run"] == report.run_id
    assert {span.trace_id for span in spans} == {run.trace_id}
    assert {span.parent_span_id for span in spans if span is not run} == {run.span_id}
    told = [event.trace_id for event in events if isinstance(event, TraceBegun)]
    assert told == [run.trace_id.hex()]

    phases = {s.name.partition(" ")[2]: s for s in by_name["phase"]}
    assert phases.keys() == report.seconds_by_phase.keys()
    for name, span in phases.items():
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert seconds == pytest.approx(report.seconds_by_phase[name], abs=2e-3)
    assert {"step plan", "step load", "step state"} <= {s.name for s in by_name["step"]}
    assert sorted(facts(s)["shard"] for s in by_name["shard"]) == [0, 1, 2]
    assert sum(facts(s)["segments"] for s in by_name["shard"]) == report.segments
    assert sorted(facts(s)["asset"] for s in by_name["object"]) == sorted([*pictures, "no.jpg"])
    [bad] = [s for s in by_name["object"] if facts(s)["status"] == "rejected"]
    assert facts(bad)["code"] == report.failures[0].code
    assert all(run.start_time_unix_nano <= s.end_time_unix_nano <= run.end_time_unix_nano
               for s in spans)  # fmt: skip


def test_each_event_run_is_a_trace_and_a_try_that_fails_another(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_the_first_load(monkeypatch)
    events: list[RunEvent] = []
    scraped: list[str] = []
    port = free_port()

    def look(event: RunEvent) -> None:
        events.append(event)
        if isinstance(event, NotificationsDone) and event.waited_seconds:
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/metrics",
                headers={"Accept": "application/openmetrics-text; version=1.0.0"},
            )
            with urllib.request.urlopen(asked, timeout=10) as answer:
                scraped.append(answer.read().decode())

    with receiver() as (url, spans):
        scene = EventScene.at(
            s3_server, tmp_path, metrics__otlp_endpoint=url, metrics__slow_object_s=NO_TIME,
            metrics__events_port=port,
        )  # fmt: skip
        scene.put("a.jpg", media_files.jpeg(1), event=False)
        scene.tell(by_s3("ObjectCreated:Put", "a.jpg", when=datetime.now(UTC).isoformat()))
        report = run_events(scene.settings, Until.EMPTY, on_event=look, wait=lambda _: None)
    assert (report.batches, report.segments) == (1, 1)
    whole = [span for span in spans if not span.parent_span_id]
    assert [(span.name, facts(span).get("code")) for span in whole] == [
        ("event run", "index_unavailable"), ("event run", None),
    ]  # fmt: skip
    told = [event.trace_id for event in events if isinstance(event, TraceBegun)]
    assert told == [span.trace_id.hex() for span in whole]
    names = {
        span.trace_id: {s.name for s in spans if s.trace_id == span.trace_id} for span in whole
    }
    assert "shard" not in names[whole[0].trace_id]
    assert {"shard", "object", "phase list and plan"} <= names[whole[1].trace_id]
    [done] = [s for s in spans if s.name == "object" and s.trace_id == whole[1].trace_id]
    assert facts(done) == {"shard": 0, "asset": "a.jpg", "status": "indexed"}
    [after] = scraped
    measured = [line for line in after.splitlines() if told[1] in line]
    assert any(line.startswith("sensedex_upsert_seconds_bucket") for line in measured)
    assert any(line.startswith(f"{EVENT_WAIT}_bucket") for line in measured)


def test_a_run_that_fails_is_a_trace_with_its_code(s3_server: S3Server, tmp_path: Path) -> None:
    with receiver() as (url, spans):
        settings = settings_for(
            tmp_path, s3_server.url, bucket="no-such", metrics__otlp_endpoint=url
        )
        with pytest.raises(BucketNotFound):
            run_index(settings)
    failed = {span.name: facts(span).get("code") for span in spans}
    assert failed == {"run": "bucket_not_found", "step plan": "bucket_not_found"}


@pytest.mark.server
def test_an_endpoint_that_is_away_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:canary@127.0.0.1:{free_port()}")
    assert traces_wanted(MetricsSettings())
    with traced(MetricsSettings(), lambda *what: said.append(what)) as trace:
        assert trace is not None
        trace.hear(RunEnded())
    [(code, message)] = said
    assert code == NOT_SENT
    assert "canary" not in message


def test_without_the_extra_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert not traces_wanted(MetricsSettings())
    settings = MetricsSettings(otlp_endpoint="http://127.0.0.1:4318/v1/traces")
    with traced(settings, lambda *what: said.append(what)) as trace:
        assert trace is None
    assert [code for code, _ in said] == [NOT_SENT]
    assert "sensedex[traces]" in said[0][1]
