"""A bucket whose events go to a queue, as notifications would send them, and what became of them.

moto serves both; a test tells which events come, how often and in which order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipeline.errors import IndexUnavailable
from pipeline.index.vector_index import open_index
from pipeline.progress import ProgressReporter
from pipeline.run import steps
from pipeline.run.event_loop import EventsReport, Until, run_events
from pipeline.run.step_runner import Pending, PlainRunner, Step, plain_runner
from pipeline.run.whole_run import run_index
from pipeline.s3.client import session_for
from pipeline.settings import Settings
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import Verdict
from tests.support.event_bodies import by_s3
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server

T = TypeVar("T")


@dataclass
class EventScene:
    """`said` is all that batches told."""

    server: S3Server
    settings: Settings
    sqs: Any
    said: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, server: S3Server, folder: Path, deliveries: int = 0, **more: Any) -> EventScene:
        """With a dead-letter queue where a message is delivered so often at most."""
        sqs = session_for(server.settings())[1].client("sqs", endpoint_url=server.url)
        attributes = {}
        if deliveries:
            sqs.create_queue(QueueName="dead")
            arn = "arn:aws:sqs:us-east-1:123456789012:dead"
            policy = {"deadLetterTargetArn": arn, "maxReceiveCount": deliveries}
            attributes["RedrivePolicy"] = json.dumps(policy)
        url = sqs.create_queue(QueueName="media", Attributes=attributes)["QueueUrl"]
        given = {"events__queue_url": url, "events__batch_seconds": 0.1} | more
        return cls(server, small_run_settings(folder, server.url, **given), sqs)

    def put(self, key: str, body: bytes, *, event: bool = True, bucket: str = "media") -> None:
        self.server.client().put_object(Bucket=bucket, Key=key, Body=body)
        if event:
            self.tell(by_s3("ObjectCreated:Put", key, bucket, size=len(body)))

    def remove(self, key: str, *, event: bool = True, bucket: str = "media") -> None:
        self.server.client().delete_object(Bucket=bucket, Key=key)
        if event:
            self.tell(by_s3("ObjectRemoved:Delete", key, bucket))

    def tell(self, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.settings.events.queue_url, MessageBody=text)

    def batch(self) -> EventsReport:
        """One batch, which there must be."""
        return run_events(self.settings, Until.ONE_BATCH, say=self.said.append, wait=lambda _: None)

    def left(self, queue: str = "media") -> int:
        """Messages in the queue, whether they are hidden or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def live(self) -> dict[str, int]:
        """Segments that readers see, by key."""
        counts: dict[str, int] = {}
        with open_index(self.settings.index) as index:
            if not index.exists():
                return {}
            for page in index.points().pages(("key", "kind", "live")):
                for point in page:
                    if point.payload.get("kind") == "segment":
                        assert point.payload["live"] is True  # nothing is left hidden
                        counts[point.payload["key"]] = counts.get(point.payload["key"], 0) + 1
        return counts

    def check_agrees(self) -> None:
        """Bucket, state, Parquet and Qdrant are one, and a run has nothing to do."""
        options = AuditOptions(recall_queries=0)
        report = verify(self.settings, options, ProgressReporter())
        assert report.verdict is Verdict.AGREE, report.to_json()
        assert set(run_index(self.settings).objects_by_action) <= {"unchanged"}


def refuse_the_first_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is away when a shard is loaded for the first time."""
    load, refused = steps.load, []

    def load_the_second_time(*given: Any, **more: Any) -> Any:
        if not refused:
            refused.append(1)
            raise IndexUnavailable("No answer.", code="index_unavailable")
        return load(*given, **more)

    monkeypatch.setattr(steps, "load", load_the_second_time)


class Between:
    """A step runner that does something before the first call of a step: `acts` by its name."""

    def __init__(self, runner: PlainRunner, acts: dict[str, Callable[[], object]]) -> None:
        self._runner = runner
        self._acts = acts

    def call(self, step: Step, function: Callable[[], T]) -> T:
        self._act(step)
        return self._runner.call(step, function)

    def stream(self, step: Step, function: Callable[[], Iterator[T]]) -> Iterator[T]:
        self._act(step)
        return self._runner.stream(step, function)

    def submit(self, step: Step, function: Callable[[], T], *, number: int) -> Pending[T]:
        self._act(step)
        return self._runner.submit(step, function, number=number)

    def _act(self, step: Step) -> None:
        self._acts.pop(step.name, lambda: None)()


def run_with(settings: Settings, **acts: Callable[[], object]) -> None:
    """A whole run, with each of the acts done before the step of that name; `plan` after it."""
    after_plan = acts.pop("plan", lambda: None)
    with plain_runner(lambda _: None) as runner:
        run_index(settings, runner=Between(runner, acts), on_plan=lambda _: after_plan() and None)
    assert not acts
