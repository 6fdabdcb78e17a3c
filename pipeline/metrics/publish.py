"""The ways by which a run's metrics get out: a port to scrape, a gateway, a file for node_exporter.

A run of a minute is over before it is scraped: the gateway and the file are told at its end, and
every `metrics.every_s` before. None of them can fail a run; what goes wrong is said once.
"""

from __future__ import annotations

import http.client
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, core, pushadd_to_gateway, start_http_server
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from pipeline.metrics.collector import LAST_WHOLE_RUN, RunCollector
from pipeline.metrics.events_collector import EventsCollector
from pipeline.metrics.traces import no_exemplar
from pipeline.settings_metrics import MetricsSettings

JOB = "sensedex"
EVENTS_JOB = "sensedex-events"
ANSWER_WITHIN_S = 5.0
NOT_PUBLISHED = "metrics_not_published"
# What a way out may fail by: the system, and an answer that is none.
_PASSES = (OSError, http.client.HTTPException)


@contextmanager
def published(
    settings: MetricsSettings,
    collection: str,
    warn: Callable[[str, str], None],
    exemplar: Callable[[], Mapping[str, str]] = no_exemplar,
) -> Iterator[RunCollector]:
    """Metrics of one run, which go out by the ways of the settings until the context has ended.
    `warn` is given a code and a sentence, once for each way that fails. Raises nothing."""
    collector = RunCollector(_last_in(settings.textfile), exemplar)
    ways = _Ways("metrics.port", settings.port, settings.textfile, JOB, collection)
    with _going_out(settings, ways, collector, _OfThisRun(collector), warn):
        yield collector


@contextmanager
def published_events(
    settings: MetricsSettings,
    collection: str,
    warn: Callable[[str, str], None],
    exemplar: Callable[[], Mapping[str, str]] = no_exemplar,
) -> Iterator[EventsCollector]:
    """The same of a process that serves a queue of events, by ways of its own: a run may be at work
    beside it, and neither writes over the other's."""
    collector = EventsCollector(exemplar)
    path = settings.textfile
    beside = None if path is None else path.with_name(f"{path.stem}-events{path.suffix}")
    ways = _Ways("metrics.events_port", settings.events_port, beside, EVENTS_JOB, collection)
    with _going_out(settings, ways, collector, collector, warn):
        yield collector


@dataclass(frozen=True, slots=True)
class _Ways:
    """What is not the same for runs and for events. `job` and `collection` name the group at the
    gateway."""

    port_setting: str
    port: int | None
    textfile: Path | None
    job: str
    collection: str


@contextmanager
def _going_out(
    settings: MetricsSettings,
    ways: _Ways,
    collector: Collector,
    pushed: Collector,
    warn: Callable[[str, str], None],
) -> Iterator[None]:
    # One of its own: that of the process has metrics of others, and those of a run before.
    registry = CollectorRegistry()
    registry.register(collector)
    failed: set[str] = set()

    def told(way: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except _PASSES as error:
            if way not in failed:
                failed.add(way)
                why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
                warn(NOT_PUBLISHED, f"Metrics do not get out by {way}: {why}. The run goes on")

    def tell_all() -> None:
        if ways.textfile is not None:
            path = ways.textfile
            told("metrics.textfile", lambda: write_whole(path, generate_latest(registry)))
        if settings.pushgateway is not None:
            gateway = settings.pushgateway
            told("metrics.pushgateway", lambda: _push(gateway, ways, pushed))

    with ExitStack() as open_ways:
        if ways.port is not None:
            port = ways.port
            told(
                ways.port_setting,
                lambda: open_ways.enter_context(_scraped(port, settings.listen, registry)) or None,
            )
        if ways.textfile is not None or settings.pushgateway is not None:
            open_ways.callback(tell_all)  # when the thread has ended
            open_ways.enter_context(_every(settings.every_s, tell_all))
        yield


def write_whole(path: Path, text: bytes) -> None:
    """Under another name first, which the textfile collector does not read, then by rename: nobody
    sees half a file. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(text)
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


class _OfThisRun(Collector):
    """The metrics without what this run has not found out: what the gateway has of it stays."""

    def __init__(self, collector: RunCollector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[core.Metric]:
        whole = self._collector.whole
        return (f for f in self._collector.collect() if whole or f.name != LAST_WHOLE_RUN)


def _push(gateway: str, ways: _Ways, pushed: Collector) -> None:
    group = {"collection": ways.collection}
    pushadd_to_gateway(gateway, ways.job, pushed, group, timeout=ANSWER_WITHIN_S)


@contextmanager
def _scraped(port: int, address: str, registry: Collector) -> Iterator[None]:
    server, thread = start_http_server(port, address, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _every(seconds: float, tell: Callable[[], None]) -> Iterator[None]:
    done = threading.Event()

    def keep() -> None:
        while not done.wait(seconds):
            tell()

    thread = threading.Thread(target=keep, daemon=True, name="sensedex-metrics")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _last_in(path: Path | None) -> float | None:
    """When a run was last whole, by the file that one wrote: a run with nothing to do leaves no
    trace elsewhere."""
    try:
        text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{LAST_WHOLE_RUN} ([0-9.e+]+)$", text, flags=re.M)
    try:
        return None if found is None else float(found[1])
    except ValueError:
        return None
