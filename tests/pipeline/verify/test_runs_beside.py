"""What runs do and have done: a bucket that moved on, runs at work, stopped or failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pipeline.errors import IndexUnavailable, LeaseHeld, SettingsError
from pipeline.index.points import CollectionPoints, StoredPoint
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.planning.plan import RunPlan
from pipeline.run.step_runner import STATE
from pipeline.run.whole_run import run_index
from pipeline.state.lease import hold_lease
from pipeline.state.store import open_store
from pipeline.verify.findings import Verdict
from tests.pipeline.verify.scene import SRT, Made, Place, replace_settings
from tests.support import media_files
from tests.support.index_damage import (
    FILM,
    a_vector_changes,
    an_old_generation_is_left,
    points_go,
    points_of,
)
from tests.support.stopped_runs import stop_before


def test_a_bucket_that_moved_on_is_no_fault(place: Place) -> None:
    client = place.client()
    client.put_object(Bucket="media", Key="pictures/new.jpg", Body=media_files.jpeg(99))
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(98))
    client.put_object(Bucket="media", Key="films/one.srt", Body=SRT.replace(b"second", b"2nd"))
    client.delete_object(Bucket="media", Key="sounds/0.wav")
    report = place.look()
    assert report.verdict is Verdict.STALE
    assert {(str(row.name), e.key, e.detail) for row in report.findings for e in row.examples} == {
        ("object_new", "pictures/new.jpg", ""),
        ("object_changed", "pictures/1.jpg", "etag"),
        ("object_changed", FILM, "sidecar"),
        ("object_gone", "sounds/0.wav", ""),
    }
    # Damage beside it is still seen, and mended with what the state knows.
    with open_index(place.settings.index) as index:
        points_go(index)
    assert place.look().verdict is Verdict.DISAGREE
    rounds = place.repair()
    assert rounds[-1].report.verdict is Verdict.AGREE
    assert rounds[0].reloaded_objects == 1
    assert rounds[0].run_objects == {"changed": 3, "gone": 1, "new": 1, "unchanged": 4}
    assert place.look().verdict is Verdict.AGREE


def test_other_settings_are_named_and_never_run_by_a_repair(place: Place) -> None:
    other = replace_settings(place, decode__window_ms=1000)
    report = other.look()
    assert [(str(row.name), row.objects) for row in report.findings] == [("recipe_changed", 7)]
    assert report.verdict is Verdict.STALE
    [done] = other.repair()
    assert done.run_objects is None
    assert place.fetched() == set()
    assert place.look().verdict is Verdict.AGREE
    client = place.client()
    client.create_bucket(Bucket="another")
    with pytest.raises(SettingsError, match="'media', not of 'another'"):
        replace_settings(place, source__bucket="another").look()


def test_a_run_at_work_is_said_and_not_judged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_index(place.settings.index) as index:
        points_go(index)
    store = open_store(place.settings.state.location, place.settings.source)
    with hold_lease(store, place.settings.state, "another-run"):
        report = place.look()
        assert report.verdict is Verdict.BUSY
        assert "another-run" in str(report.writer)
        assert report.findings == ()
        assert place.server.requests == [], "nothing was read"
        with pytest.raises(LeaseHeld, match="another-run"):
            place.repair_round()

    # One that begins and ends while the four are read.
    read = CollectionPoints.pages

    def pages(self: CollectionPoints, fields: Sequence[str]) -> Iterator[list[StoredPoint]]:
        with hold_lease(store, place.settings.state, "quick-run"):
            yield from read(self, fields)

    monkeypatch.setattr(CollectionPoints, "pages", pages)
    report = place.look()
    assert report.verdict is Verdict.BUSY
    assert "quick-run" in str(report.writer)


def test_what_a_stopped_run_left_is_the_next_runs(place: Place, made: Made) -> None:
    client = place.client()
    client.put_object(Bucket="media", Key="pictures/new.jpg", Body=media_files.jpeg(99))
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(98))
    # Killed when its shards are loaded, before it writes the state.
    stop_before(STATE, place.settings)
    # The index is ahead of the state, by exactly what the next run goes on with.
    report = place.look()
    assert report.verdict is Verdict.STALE
    assert {str(row.name): row.objects for row in report.findings} == {
        "object_new": 1,
        "object_changed": 1,
        "run_unfinished": 0,
    }
    # The bucket goes back to what it was: no run will touch these again, and a repair must.
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=made.objects["pictures/1.jpg"])
    client.delete_object(Bucket="media", Key="pictures/new.jpg")
    assert place.found() == {
        "points_missing": (1, 1),
        "anchor_differs": (1, 1),
        "points_superseded": (1, 1),
        "points_of_no_object": (1, 2),
    }
    place.server.requests.clear()
    [done, after] = place.repair()
    assert (done.deleted_points, done.reloaded_objects) == (3, 1)
    assert after.report.verdict is Verdict.AGREE
    assert place.fetched() == set()


def test_older_content_of_what_failed_is_kept_whole(place: Place) -> None:
    """The film changes once more between plan and GET: it fails, and its older content stays."""
    settings = place.settings
    client = place.client()
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(98))

    def change_once_more(_: RunPlan) -> None:
        client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(97))

    run_index(settings, on_plan=change_once_more)
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(98))

    report = place.look()
    assert report.verdict is Verdict.AGREE, report.findings
    assert report.counts.kept_objects == 1
    assert report.counts.objects_by_cause["failed: object_changed"] == 1
    # It loses its segment: the older receipt has it.
    with open_index(settings.index) as index:
        index.points().delete([point.id for point in points_of(index, "pictures/1.jpg")])
    assert place.found() == {"kept_incomplete": (1, 0)}
    place.server.requests.clear()
    done = place.repair_round()
    assert (done.reloaded_objects, done.removed_objects) == (1, 0)
    assert place.look().verdict is Verdict.AGREE
    assert place.fetched() == set()
    # It loses it again, and Parquet too: nothing half is left.
    with open_index(settings.index) as index:
        index.points().delete([point.id for point in points_of(index, "pictures/1.jpg")])
    place.files()[0].unlink()
    done = place.repair_round()
    assert (done.reloaded_objects, done.removed_objects) == (0, 1)
    assert set(place.found()) == {"parquet_missing"}


def test_a_repair_that_is_killed_is_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_index(place.settings.index) as index:
        a_vector_changes(index)
        points_go(index)
        an_old_generation_is_left(index)

    def die(*_: Any, **__: Any) -> None:
        raise IndexUnavailable("Qdrant is gone.")

    for owner, step, left in (
        (Upserts, "put", {"points_missing", "vector_differs"}),  # the stray is deleted
        (VectorIndex, "flip", None),  # the points are written
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, die)
            with pytest.raises(IndexUnavailable):
                place.repair_round()
        assert left is None or set(place.found()) == left
    place.repair_round()
    assert place.look().verdict is Verdict.AGREE


def test_an_empty_place_has_nothing_to_disagree_about(place: Place) -> None:
    fresh = replace_settings(
        place,
        state__location=str(place.folder / "no-state"),
        index__path=place.folder / "no-qdrant",
    )
    report = fresh.look()
    assert report.verdict is Verdict.STALE
    assert [(str(row.name), row.objects) for row in report.findings] == [("object_new", 7)]
    assert not (place.folder / "no-qdrant").exists()
    assert not (place.folder / "no-state").exists()
