"""A run as a trace by OTLP over HTTP: spans of the run, its phases, steps, shards, slow objects. So
is each event run.

OpenTelemetry is the extra `traces`, and imported only where an endpoint is named. A trace is put
together from what the run tells anyway, so that spans begin where their seconds say. It cannot fail
a run; that it does not get out is said once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pipeline.run_events import (
    LeaseTaken,
    ObjectEnded,
    PhaseEnded,
    RunEnded,
    RunEvent,
    ShardCommitted,
    ShardLoaded,
    StepEnded,
)
from pipeline.settings_metrics import MetricsSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

NOT_SENT = "traces_not_sent"
# The first that is set; the standard's names.
VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ANSWER_WITHIN_S = 5.0
_Value = str | int | float | bool


def no_exemplar() -> Mapping[str, str]:
    """For a run without a trace."""
    return {}


def traces_wanted(settings: MetricsSettings) -> bool:
    """Whether an endpoint is named, by the settings or by the standard's variables."""
    return settings.otlp_endpoint is not None or any(os.environ.get(name) for name in VARIABLES)


@contextmanager
def traced(
    settings: MetricsSettings, warn: Callable[[str, str], None]
) -> Iterator[RunTrace | None]:
    """The trace of one run, which is sent by the time the context has ended; None where
    OpenTelemetry is not there. `warn` is given a code and a sentence. Raises nothing of its own."""
    with tracing(settings, warn) as begin:
        if begin is None:
            yield None
            return
        trace = begin("run")
        try:
            yield trace
        finally:
            trace.end()


@contextmanager
def tracing(
    settings: MetricsSettings, warn: Callable[[str, str], None]
) -> Iterator[Callable[[str], RunTrace] | None]:
    """What begins a trace, by the name of its outermost span, for several runs one after the other.
    Otherwise as `traced`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        if settings.otlp_endpoint is not None:  # a variable may be meant for somebody else
            warn(NOT_SENT, "metrics.otlp_endpoint needs the extra: pip install 'sensedex[traces]'")
        yield None
        return
    resource = Resource.create({"service.name": "sensedex", "service.version": version("sensedex")})
    # One of its own, as the metrics have a registry: nobody else's spans are in it.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=ANSWER_WITHIN_S)
    with _quiet():
        provider.add_span_processor(BatchSpanProcessor(_told_once(exporter, warn)))
        try:
            yield partial(RunTrace, provider.get_tracer("sensedex"))
        finally:
            provider.shutdown()


class RunTrace:
    """The spans of one run, the outermost of that name. Told things by several threads."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._lock = threading.Lock()
        self._run = tracer.start_span(name)
        self._inside = set_span_in_context(self._run)
        self._committed_at: dict[int, int] = {}
        self._is_over = False

    @property
    def trace_id(self) -> str:
        """In hexadecimal, as it is searched for."""
        return f"{self._run.get_span_context().trace_id:032x}"

    def exemplar(self) -> Mapping[str, str]:
        """The labels by which a measurement names this trace."""
        return {"trace_id": self.trace_id}

    def hear(self, event: RunEvent) -> None:
        """A `pipeline.run_events.OnEvent`."""
        with self._lock:
            match event:
                case LeaseTaken():
                    self._run.set_attributes(
                        {"sensedex.run": event.run_id, "sensedex.sequence": event.sequence}
                    )
                case PhaseEnded():
                    self._span(f"phase {event.name}", event.seconds)
                case StepEnded():
                    number = {"sensedex.number": event.number} if event.number else {}
                    self._span(f"step {event.name}", event.seconds, event.code, number)
                case ShardCommitted():
                    self._committed_at[event.shard] = time.time_ns()
                    for told in event.told:
                        self._object(event.shard, told)
                case ShardLoaded():
                    self._shard(event)
                case RunEnded():
                    self._fail(self._run, event.code)
                    self._run.set_attributes(
                        {f"sensedex.objects.{s}": n for s, n in event.objects_by_status.items()}
                    )

    def end(self) -> None:
        """The run is over. May be called again."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._run.end()

    def _span(
        self,
        name: str,
        seconds: float,
        code: str = "",
        attributes: Mapping[str, _Value] | None = None,
        began_ns: int | None = None,
    ) -> None:
        """One that ends now, `seconds` long."""
        now = time.time_ns()
        began = now - int(seconds * 1e9) if began_ns is None else began_ns
        span = self._tracer.start_span(
            name, context=self._inside, start_time=began, attributes=dict(attributes or {})
        )
        self._fail(span, code)
        span.end(now)

    def _shard(self, event: ShardLoaded) -> None:
        facts: dict[str, _Value] = {
            "sensedex.shard": event.shard,
            "sensedex.segments": event.segments,
            "sensedex.load_seconds": round(event.seconds, 4),
            "sensedex.upserts": len(event.upsert_seconds),
        }
        began = self._committed_at.pop(event.shard, None)
        self._span("shard", event.seconds, attributes=facts, began_ns=began)

    def _object(self, shard: int, told: ObjectEnded) -> None:
        facts: dict[str, _Value] = {
            "sensedex.shard": shard,
            "sensedex.asset": told.key,
            "sensedex.status": told.status,
        }
        self._span("object", told.seconds, told.code, facts)

    def _fail(self, span: Span, code: str) -> None:
        if code:
            from opentelemetry.trace import StatusCode

            span.set_attribute("sensedex.code", code)
            span.set_status(StatusCode.ERROR, code)


def _told_once(exporter: SpanExporter, warn: Callable[[str, str], None]) -> SpanExporter:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Told(SpanExporter):
        """Says once that spans do not get out; the endpoint, which may have a secret, is not
        named."""

        said = False

        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            result = exporter.export(spans)
            if result is not SpanExportResult.SUCCESS and not self.said:
                self.said = True
                warn(NOT_SENT, "Traces do not get out: no such answer from the endpoint")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Told()


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenTelemetry logs each try that fails, with the address; `warn` is told once."""
    log = logging.getLogger("opentelemetry")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
