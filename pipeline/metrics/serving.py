"""Metrics of `sensedex serve`, as Prometheus scrapes them: requests, searches, what is at work."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServeMetrics:
    """Of one server, in a registry of their own: that of the process has metrics of others."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sensedex_serve_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "sensedex_serve_request_seconds",
            "From a request's headers to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._search = Histogram(
            "sensedex_serve_search_seconds",
            "From a search to its moments: waiting, encoding, asking the index.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._bytes = Counter(
            "sensedex_serve_sent_bytes",
            "Bytes of answers by route.",
            ["route"],
            registry=self._registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float, sent: int) -> None:
        """A request has its answer, or was broken off."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._bytes.labels(route).inc(sent)

    def searched(self, seconds: float) -> None:
        """A search has its moments."""
        self._search.observe(seconds)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A figure that is asked for whenever it is scraped: `sensedex_serve_` and the name."""
        gauge = Gauge(f"sensedex_serve_{name}", meaning, registry=self._registry)
        gauge.set_function(value)

    def text(self) -> bytes:
        """In Prometheus's own format."""
        return generate_latest(self._registry)
