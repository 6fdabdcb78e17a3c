"""Each kind of damage, made for real on an index that a real run made: found by its name, and
mended without an encoder wherever Parquet has it."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import codec
from pipeline.errors import IndexUnavailable, LeaseHeld, SettingsError
from pipeline.ids import asset_id
from pipeline.index.points import CollectionPoints, StoredPoint
from pipeline.index.upserts import Upserts
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.models import spaces
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter
from pipeline.records import Segment, SegmentRow, ShardReceipt
from pipeline.run.step_runner import STATE
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from pipeline.state.lease import hold_lease
from pipeline.state.receipts import receipt_bytes
from pipeline.state.segments import read_segments, read_spaces, write_segments
from pipeline.state.store import open_store
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import MEANINGS, Finding, Verdict, VerifyReport
from pipeline.verify.repair import Round, repair_round, rounds_of
from pipeline.verify.sample import is_stored_as
from tests.support import media_files
from tests.support.index_damage import (
    DAMAGES,
    FILM,
    SEGMENTS,
    Damage,
    a_vector_changes,
    an_old_generation_is_left,
    engine,
    points_go,
    points_of,
    put_point,
)
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill, reset_moto
from tests.support.stopped_runs import stop_before

SRT = b"1\n00:00:02,000 --> 00:00:04,000\nthe second picture\n"
WHOLE = AuditOptions(seed=1)


@dataclass(frozen=True, slots=True)
class Made:
    """What a run left, and the objects that it read."""

    folder: Path
    objects: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """A copy of it that a test may damage."""

    server: S3Server
    settings: Settings
    folder: Path

    def look(self, options: AuditOptions = WHOLE) -> VerifyReport:
        return verify(self.settings, options, ProgressReporter())

    def found(self) -> dict[str, tuple[int, int]]:
        """Of each name that is found, (objects, points)."""
        return {str(row.name): (row.objects, row.points) for row in self.look().findings}

    def repair_round(self) -> Round:
        return repair_round(self.settings, WHOLE, ProgressReporter())

    def repair(self) -> list[Round]:
        """Repair, run and look again, as `sensedex verify --repair` does."""
        self.server.requests.clear()
        return list(rounds_of(self.repair_round, lambda asked: run_index(self.settings, asked)))

    def client(self) -> Any:
        return self.server.client()

    def files(self) -> list[Path]:
        return sorted(Path(self.settings.state.location).glob("runs/*/shards/*.parquet"))

    def fetched(self) -> set[str]:
        """Objects that were fetched from the bucket."""
        paths = (path for verb, path in self.server.requests if verb == "GET")
        return {p.removeprefix("/media/") for p in paths if p.strip("/").count("/")}


def replace_settings(place: Place, **more: Any) -> Place:
    return replace(place, settings=small_run_settings(place.folder, place.server.url, **more))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Six good objects, one with a sidecar, and one bad one, in two shards."""
    folder = tmp_path_factory.mktemp("made")
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(3)}
    objects |= {f"sounds/{n}.wav": media_files.wav(n) for n in range(2)}
    objects[FILM] = media_files.mp4(7)
    objects["films/one.srt"] = SRT
    objects["bad/text.mp4"] = b"not a film at all\n" * 30
    server = S3Server()
    try:
        reset_moto(server.url)
        server.client().create_bucket(Bucket="media")
        fill(server, objects)
        run_index(small_run_settings(folder, server.url), RunOptions())
    finally:
        server.stop()
    return Made(folder, objects)


@pytest.fixture
def place(made: Made, s3_server: S3Server, tmp_path: Path) -> Place:
    for part in ("qdrant", "state"):
        shutil.copytree(made.folder / part, tmp_path / part)
    fill(s3_server, made.objects)
    return Place(s3_server, small_run_settings(tmp_path, s3_server.url), tmp_path)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an encoder was loaded")

    monkeypatch.setattr(spaces, "load_encoder", refuse)


def test_an_index_that_a_run_left_is_proven(place: Place) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet"))
    report = place.look()
    assert report.verdict is Verdict.AGREE
    assert report.findings == ()
    counts = report.counts
    assert counts.listed == 8
    assert counts.objects_by_cause == {"indexed": 6, "rejected: not_media": 1}
    assert counts.segments == counts.parquet_segments == counts.live_segments == SEGMENTS
    assert counts.sampled_segments == SEGMENTS
    assert counts.undetected_share == 0
    assert (counts.anchors, counts.points) == (6, SEGMENTS + 6)
    assert counts.precisions == {"vision": "float32", "audio": "float32", "text": "float32"}
    assert counts.parquet_files == 2
    # It only reads: no GET, no write, not even a lease.
    assert place.fetched() == set()
    assert place.server.count("PUT") == 0
    assert sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet")) == before
    assert json.loads(json.dumps(report.to_json()))["verdict"] == "agree"


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_mended_from_parquet(place: Place, damage: Damage) -> None:
    with open_index(place.settings.index) as index:
        damage(index)
    report = place.look()
    found = {str(row.name): (row.objects, row.points) for row in report.findings}
    assert found == DAMAGES[damage]
    assert report.verdict is Verdict.DISAGREE
    assert report.findings
    assert all(row.examples for row in report.findings)

    done = place.repair_round()
    assert not done.needs_run
    after = place.look()
    assert after.verdict is Verdict.AGREE, after.findings
    assert place.fetched() == set(), "Parquet had it"
    with open_index(place.settings.index) as index:
        assert len(points_of(index, FILM, live=True)) == 3
        assert index.count(live_only=False) == index.count() == SEGMENTS


def a_file_goes(file: Path) -> None:
    file.unlink()


def a_file_is_cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])


def a_file_has_other_vectors(file: Path) -> None:
    """A sound file of embeddings, and not the one that was committed."""
    kept = read_spaces(file)
    write_segments(file, rows_in(file, scale=-1.0), kept)


def a_receipt_goes(file: Path) -> None:
    receipt_file(file).unlink()


def a_receipt_is_cut(file: Path) -> None:
    receipt_file(file).write_bytes(b'{"run_id": ')


def a_row_is_lost(file: Path) -> None:
    """By file and receipt alike, as if it had never been written."""
    rows = [row for row in rows_in(file) if row.segment.index == 0]
    digest = write_segments(file, rows, read_spaces(file))
    receipt = codec.from_bytes(ShardReceipt, receipt_file(file).read_bytes())
    receipt_file(file).write_bytes(receipt_bytes(replace(receipt, data_sha256=digest)))


def receipt_file(file: Path) -> Path:
    return file.parent.parent / "receipts" / f"{file.name.partition('-')[0]}.json"


def rows_in(file: Path, scale: float = 1.0) -> list[SegmentRow]:
    rows = []
    for batch in read_segments(file):
        for number, payload in enumerate(batch.payloads):
            vectors = {
                name: matrix[list(there).index(number)] * scale
                for name, (there, matrix) in batch.vectors.items()
                if number in there
            }
            span = (payload["segment_index"], payload["start_ms"], payload["end_ms"])
            rows.append(
                SegmentRow(
                    batch.point_ids[number],
                    batch.asset_ids[number],
                    batch.generations[number],
                    Segment(*span),
                    vectors,
                    payload,
                )
            )
    return rows


# The first shard holds the rejected object, the film and two pictures.
OF_THE_SHARD = {FILM, "films/one.srt", "pictures/0.jpg", "pictures/1.jpg"}


@pytest.mark.parametrize(
    ("damage", "found", "again"),
    [
        (a_file_goes, {"parquet_missing": (3, 0)}, OF_THE_SHARD),
        (a_file_is_cut, {"parquet_unreadable": (3, 0)}, OF_THE_SHARD),
        (a_file_has_other_vectors, {"parquet_altered": (3, 0)}, OF_THE_SHARD),
        (a_receipt_goes, {"receipt_unusable": (3, 0)}, OF_THE_SHARD),
        (a_receipt_is_cut, {"receipt_unusable": (3, 0)}, OF_THE_SHARD),
        (a_row_is_lost, {"parquet_rows": (1, 0)}, {FILM, "films/one.srt"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_parquet_has_lost_is_embedded_again_alone(
    place: Place, damage: Callable[[Path], None], found: dict[str, Any], again: set[str]
) -> None:
    damage(place.files()[0])
    assert place.found() == found
    rounds = place.repair()
    assert [r.report.verdict for r in rounds] == [Verdict.DISAGREE, Verdict.AGREE]
    assert place.fetched() == again
    assert place.look().verdict is Verdict.AGREE


def test_what_collection_and_parquet_have_lost_is_embedded_again(place: Place) -> None:
    """A run refuses a collection that is not there; a repair makes it first."""
    shutil.rmtree(place.folder / "qdrant")
    for file in place.files():
        file.unlink()
    *_, last = place.repair()
    assert last.report.verdict is Verdict.AGREE
    with open_index(place.settings.index) as index:
        assert index.count() == SEGMENTS


def test_points_of_another_bucket_are_left_alone(place: Place) -> None:
    """Two buckets may share a collection; the state of one says nothing of the other."""
    with open_index(place.settings.index) as index:
        point = points_of(index, FILM)[0]
        other = {
            "bucket": "other",
            "asset_id": asset_id("other", FILM),
            "uri": f"s3://other/{FILM}",
        }
        put_point(index, point, str(uuid.uuid4()), **other)
        an_old_generation_is_left(index)
    report = place.look()
    assert report.counts.points_of_others == 1
    assert [str(row.name) for row in report.findings] == ["points_superseded"]
    assert place.repair_round().deleted_points == 1
    after = place.look()
    assert (after.verdict, after.counts.points_of_others) == (Verdict.AGREE, 1)


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


def test_a_sample_is_repeatable_and_says_what_it_cannot_exclude(place: Place) -> None:
    with open_index(place.settings.index) as index:
        for key in (FILM, "sounds/0.wav", "sounds/1.wav"):
            points = [point.id for point in points_of(index, key)]
            engine(index).set_payload("media", {"text": "x"}, points=points)
    shares = set()
    for seed in range(5):
        report = place.look(AuditOptions(sample=4, seed=seed))
        assert (
            report.to_json()["findings"]
            == (place.look(AuditOptions(sample=4, seed=seed)).to_json()["findings"])
        )
        counts = report.counts
        assert counts.undetected_share == min(1, 3 / max(3, counts.sampled_segments)) or (
            counts.sampled_segments == SEGMENTS
        )
        shares.add(counts.sampled_segments)
    assert len(shares) > 1, "every seed took the same"
    none = place.look(AuditOptions(sample=0))
    assert (none.verdict, none.counts.sampled_segments) == (Verdict.AGREE, 0)
    assert none.counts.undetected_share == 1


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


def test_half_precision_is_compared_as_it_is_stored() -> None:
    """Qdrant may keep float16: what rounding explains is no fault, what it does not is one."""
    vector = np.random.default_rng(0).normal(size=256)
    vector /= np.linalg.norm(vector)
    half = vector.astype(np.float16).astype(np.float32)
    assert is_stored_as(half, vector, "float16")
    assert not is_stored_as(half, vector, "float32")
    half[7] += 0.002
    assert not is_stored_as(half, vector, "float16")


def test_every_name_is_explained(root_dir: Path) -> None:
    explained = (root_dir / "docs/verify.md").read_text()
    assert set(MEANINGS) == set(Finding)
    assert [name for name in Finding if f"`{name}`" not in explained] == []
