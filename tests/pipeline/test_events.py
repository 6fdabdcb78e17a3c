"""Events from a queue: what is put is searchable, what is removed is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import IndexUnavailable, LeaseHeld, SettingsError
from pipeline.run import event_run, steps
from pipeline.run.event_loop import Until, run_events
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings, SourceSettings
from pipeline.settings_events import EventSettings
from pipeline.state.objects import read_state
from pipeline.state.run_leases import hold_events_lease, hold_run_lease
from pipeline.state.store import open_store
from tests.support import media_files
from tests.support.event_bodies import by_event_bridge, by_s3, by_sns
from tests.support.event_scene import EventScene
from tests.support.s3_server import S3Server
from tests.support.stopped_runs import StoppedError

HARD = "my films/a+b %2B é🐕.jpg"
SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\na dog barks\n"


@pytest.fixture
def scene(s3_server: S3Server, tmp_path: Path) -> EventScene:
    return EventScene.at(s3_server, tmp_path)


def test_what_is_put_is_searchable_and_what_is_removed_is_gone(scene: EventScene) -> None:
    scene.put("old.jpg", media_files.jpeg(1), event=False)
    run_index(scene.settings)
    scene.put(HARD, media_files.jpeg(2))
    scene.put("broken.jpg", b"no picture")
    scene.put("notes.pdf", b"no media")
    scene.tell(by_s3("ObjectCreated:Put", "elsewhere.jpg", bucket="other"))
    report = scene.batch()
    assert scene.live() == {"old.jpg": 1, HARD: 1}
    assert report.objects_by_status == {"indexed": 1, "rejected": 1}
    assert (report.elsewhere, report.messages, scene.left()) == (1, 4, 0)
    scene.check_agrees()
    scene.remove(HARD)
    scene.remove("old.jpg")
    scene.remove("broken.jpg")
    assert scene.batch().objects_by_status == {"removed": 3}
    assert scene.live() == {}
    scene.check_agrees()


def test_events_of_several_buckets_and_prefixes(s3_server: S3Server, tmp_path: Path) -> None:
    """A key of two buckets is two objects; what is of no scope is counted, and no more."""
    places = ("s3://clips/2026/", "s3://media")
    scene = EventScene.at(s3_server, tmp_path, source__bucket="", source__places=places)
    scene.server.client().create_bucket(Bucket="clips")
    for number, bucket in enumerate(("clips", "media")):
        scene.put("2026/a.jpg", media_files.jpeg(number), bucket=bucket)
    scene.put("2025/a.jpg", media_files.jpeg(5), bucket="clips")
    report = scene.batch()
    assert (report.objects_by_status, report.elsewhere) == ({"indexed": 2}, 1)
    assert (scene.live(), scene.left()) == ({"2026/a.jpg": 2}, 0)
    scene.check_agrees()
    scene.remove("2026/a.jpg", bucket="clips")
    scene.put("2026/a.en.srt", SUBTITLES)
    assert scene.batch().objects_by_status == {"indexed": 1, "removed": 1}
    store = open_store(scene.settings.state.location, scene.settings.source)
    assert [row.place for row in read_state(store).rows()] == [("media", "2026/a.jpg")]
    scene.check_agrees()


def test_duplicates_and_old_events_are_harmless(scene: EventScene) -> None:
    """The bucket is asked, whatever the events say."""
    scene.put("a.jpg", media_files.jpeg(1))
    scene.put("a.jpg", media_files.jpeg(2))
    scene.put("b.jpg", media_files.jpeg(3))
    scene.tell(by_s3("ObjectRemoved:Delete", "b.jpg"))  # before it was put again
    scene.tell(by_sns(by_s3("ObjectCreated:Put", "a.jpg")))
    scene.tell(by_event_bridge("Object Created", "gone.jpg"))  # removed since
    assert scene.batch().objects_by_status == {"indexed": 2, "removed": 1}
    scene.check_agrees()
    written = read_state(open_store(scene.settings.state.location, scene.settings.source))
    scene.tell(by_s3("ObjectCreated:Put", "a.jpg"))
    assert scene.batch().objects_by_action == {"unchanged": 1}
    assert read_state(written.store).version == written.version  # nothing to do, nothing written
    assert (scene.left(), scene.live()) == (0, {"a.jpg": 1, "b.jpg": 1})


def test_an_event_of_a_sidecar_plans_what_it_describes(scene: EventScene) -> None:
    scene.put("dog.jpg", media_files.jpeg(1), event=False)
    run_index(scene.settings)
    for change in (
        lambda: scene.put("dog.en.srt", SUBTITLES),
        lambda: scene.put("dog.en.srt", SUBTITLES + b"\n"),
        lambda: scene.remove("dog.en.srt"),
    ):
        change()
        assert scene.batch().objects_by_action == {"changed": 1}
        scene.check_agrees()


def test_what_nobody_can_read_goes_to_the_dead_letters(s3_server: S3Server, tmp_path: Path) -> None:
    scene = EventScene.at(s3_server, tmp_path, deliveries=1, events__visibility_s=1)
    scene.tell("hello")
    scene.put("a.jpg", media_files.jpeg(1))
    assert scene.batch().unreadable == 1
    assert scene.live() == {"a.jpg": 1}
    assert len([line for line in scene.said if "no event notification" in line]) == 1
    visible = {"QueueUrl": scene.settings.events.queue_url, "VisibilityTimeout": 0}
    while scene.left():  # it is hidden until its time is over
        for message in scene.sqs.receive_message(**visible).get("Messages", ()):
            scene.sqs.change_message_visibility(ReceiptHandle=message["ReceiptHandle"], **visible)
    assert scene.left("dead") == 1


def test_a_message_is_deleted_only_once_its_effect_is_committed(
    scene: EventScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.put("a.jpg", media_files.jpeg(1))
    tries: list[int] = []

    def away(*_: Any, **__: Any) -> None:
        tries.append(1)
        raise IndexUnavailable("The index is away.")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "load", away)
        with pytest.raises(IndexUnavailable):
            scene.batch()
    assert (len(tries), scene.left()) == (4, 1)
    assert sum("The index is away. Again in" in line for line in scene.said) == 3
    scene.batch()
    assert (scene.left(), scene.live()) == (0, {"a.jpg": 1})
    scene.check_agrees()


def test_an_object_that_changes_again_is_looked_at_again(scene: EventScene) -> None:
    """Between its listing and its GET: it is committed as failed, and its message comes again."""
    scene.put("a.jpg", media_files.jpeg(1))
    scene.server.before_object_get = lambda: scene.put("a.jpg", media_files.jpeg(2), event=False)
    report = scene.batch()
    assert (report.objects_by_status, report.again, scene.left()) == ({"failed": 1}, 1, 1)
    scene.server.before_object_get = lambda: None
    scene.tell(by_s3("ObjectCreated:Put", "a.jpg"))
    assert scene.batch().objects_by_status == {"indexed": 1}
    scene.check_agrees()


@pytest.mark.parametrize("name", ["commit_increment", "row_of"])
def test_an_event_run_that_dies_is_taken_up(
    scene: EventScene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After its load: by the same message, or by the next whole run where that comes first."""

    def die(*_: Any, **__: Any) -> None:
        raise StoppedError(name)

    for number, next_run in enumerate((scene.batch, lambda: run_index(scene.settings))):
        scene.put("a.jpg", media_files.jpeg(10 + number))
        scene.put(f"b{number}.jpg", media_files.jpeg(20 + number))
        with monkeypatch.context() as patch:
            patch.setattr(event_run if name == "commit_increment" else steps, name, die)
            with pytest.raises(StoppedError):
                scene.batch()
        next_run()
        scene.check_agrees()
    scene.remove("b1.jpg", event=False)  # what it had brought in may have gone since
    scene.batch()
    scene.check_agrees()


def test_who_cannot_write_now_reads_no_message(scene: EventScene) -> None:
    scene.put("a.jpg", media_files.jpeg(1))
    store = open_store(scene.settings.state.location, scene.settings.source)
    for hold, why in ((hold_events_lease, "One event run"), (hold_run_lease, "index is a folder")):
        with hold(store, scene.settings.state, "other"), pytest.raises(LeaseHeld, match=why):
            scene.batch()
    assert scene.left() == 1
    report = run_events(scene.settings, Until.EMPTY)
    assert (report.batches, scene.left()) == (1, 0)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("queue_url", None, "no queue is named"),
        ("queue_url", "media", "no address of a queue"),
    ],
)
def test_the_queue_has_to_be_named(scene: EventScene, field: str, value: Any, why: str) -> None:
    events = scene.settings.events.model_copy(update={field: value})
    with pytest.raises(SettingsError, match=why):
        run_events(scene.settings.model_copy(update={"events": events}), Until.ONE_BATCH)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"folder": Path()}, "a folder sends no events"),
        ({"manifest": "films.csv"}, "events go by what buckets hold now"),
        ({"bucket": "media", "inventory": "s3://lists/of-media"}, "take back what events"),
        ({"places": ("s3://arn:aws:s3:eu-central-1:1:accesspoint/films",)}, "its access point"),
    ],
)
def test_what_sends_no_events_is_refused(given: Any, why: str) -> None:
    queue = {"queue_url": "http://127.0.0.1:9/1/media"}
    wanted = Settings(source=SourceSettings(**given), events=EventSettings(**queue))
    with pytest.raises(SettingsError, match=why):
        run_events(wanted, Until.ONE_BATCH)
