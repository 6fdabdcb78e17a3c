"""Metrics of the process that serves a queue of events: sums over its batches, and its lag."""

from __future__ import annotations

import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.metrics.collector import LAST_WHOLE_RUN
from pipeline.metrics.events_collector import EventsCollector
from pipeline.metrics.table import EVENT_LAG, EVENT_WAIT, METRICS
from pipeline.progress import RunProgress, Stage, StageProgress
from pipeline.run.event_loop import Until, run_events
from pipeline.run_events import (
    LeaseTaken,
    NotificationsDone,
    NotificationsRead,
    RunEnded,
    RunEvent,
    ShardLoaded,
)
from tests.support import media_files
from tests.support.event_bodies import by_s3
from tests.support.event_scene import EventScene, refuse_the_first_load
from tests.support.free_port import free_port
from tests.support.s3_server import S3Server
from tests.support.scraped import Samples, by_label, names, samples, text_of

WORK = (("work", "events"),)
A_MINUTE_AGO = timedelta(seconds=60)


def put(scene: EventScene, key: str, body: bytes) -> None:
    """With an event that is a minute old."""
    when = (datetime.now(UTC) - A_MINUTE_AGO).isoformat()
    scene.put(key, body, event=False)
    scene.tell(by_s3("ObjectCreated:Put", key, size=len(body), when=when))


def test_events_are_counted_over_batches(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, file = free_port(), tmp_path / "sensedex.prom"
    scene = EventScene.at(s3_server, tmp_path, metrics__events_port=port, metrics__textfile=file)
    put(scene, "a.jpg", media_files.jpeg(1))
    put(scene, "no.jpg", b"this is no picture")
    scraped: list[Samples] = []

    def scrape(event: RunEvent) -> None:
        """While a batch is at work; another comes after the first one."""
        if isinstance(event, NotificationsDone) and event.messages_by_outcome.get("done") == 2:
            put(scene, "b.jpg", media_files.jpeg(2))
        if isinstance(event, (NotificationsRead, ShardLoaded)):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                scraped.append(samples(answer.read().decode()))

    refuse_the_first_load(monkeypatch)
    waits: list[float] = []
    report = run_events(scene.settings, Until.EMPTY, on_event=scrape, wait=waits.append)
    assert (report.batches, report.segments, waits) == (2, 2, [2.0])

    assert scraped[0][EVENT_LAG, WORK] >= 60
    ages = [s for found in scraped for (name, _), s in found.items() if "lease_age" in name]
    assert ages, "while it has the lease"
    assert all(0 <= age <= scene.settings.state.lease_ttl_s for age in ages)
    left = samples((tmp_path / "sensedex-events.prom").read_text())
    assert not file.exists(), "it is a whole run's"
    assert names(left) == set(METRICS) - {
        LAST_WHOLE_RUN, "sensedex_search_seconds", "sensedex_lease_age_seconds"
    }  # fmt: skip
    assert all(dict(labels)["work"] == "events" for _, labels in left)
    assert by_label(left, "sensedex_objects_total") == {"indexed": 2, "rejected": 1}
    assert by_label(left, "sensedex_windows_total")["load"] == 2
    assert by_label(left, "sensedex_event_messages_total")["done"] == 3
    assert by_label(left, "sensedex_retries_total") == {"index_unavailable": 1}
    assert set(by_label(left, "sensedex_queue_depth").values()) == {0}
    assert left[EVENT_LAG, WORK] == 0
    assert left[f"{EVENT_WAIT}_count", WORK] == 2, "nothing waits for what was rejected"
    assert left[f"{EVENT_WAIT}_sum", WORK] >= 2 * 60


def test_a_batch_that_fails_is_as_old_as_it_was() -> None:
    collector = EventsCollector()
    collector.hear(NotificationsRead(1, time.time() - 100))
    for _ in range(3):  # tries
        collector.next_run()
        collector.hear(LeaseTaken("r", 1, lambda: 0.0))
        collector.see(RunProgress("x", 5, stages={Stage.FETCH: StageProgress(2)},
                                  objects_by_status={"indexed": 1}))  # fmt: skip
        assert by_label(text_of(collector), "sensedex_queue_depth")["fetch"] == 3
        collector.hear(RunEnded("index_unavailable", "No answer."))
    found = text_of(collector)
    assert found[EVENT_LAG, WORK] >= 100
    assert by_label(found, "sensedex_objects_total") == {}, "none has come to its end"
    assert "sensedex_lease_age_seconds" not in {name for name, _ in found}
    assert by_label(found, "sensedex_queue_depth")["fetch"] == 0
    collector.hear(NotificationsDone({"done": 1}, (110.0,)))
    assert text_of(collector)[EVENT_LAG, WORK] == 0
