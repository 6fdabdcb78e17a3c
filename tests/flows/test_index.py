"""The flow, run for real: a real S3 server, Prefect, Ray, Parquet and Qdrant's local mode."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import get_type_hints

import pytest
from rich.console import Console

from flows.cli.log_format import logged_as_asked, told_progress
from flows.index import given_fields, index_flow, run_in_flow
from pipeline.errors import BucketNotFound, IndexMismatch, LeaseHeld, PlanRefused, SettingsError
from pipeline.ids import asset_id
from pipeline.index.vector_index import open_index
from pipeline.records import MediaType
from pipeline.report.read import read_failures, read_report, read_status
from pipeline.run.step_runner import STATE
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.search.evaluate import measure
from pipeline.search.labelled import read_queries
from pipeline.search.request import asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings, SourceSettings
from pipeline.settings_metrics import MetricsSettings
from pipeline.state.lease import hold_lease
from pipeline.state.receipts import RunFolder, open_receipts
from pipeline.state.store import open_store
from tests.encoders.small_models import clip_folder
from tests.flows.index_scene import check_log, keys_live, labelled_queries, points_of, read_plan_of
from tests.support import media_files
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill
from tests.support.scraped import agree, samples
from tests.support.stopped_runs import stop_before

pytestmark = pytest.mark.usefixtures("ray_running", "prefect_running")

settings_of = partial(small_run_settings, embed__engine="ray")
in_loop = partial(small_run_settings, embed__engine="loop")
"""For what a graph has no part in: each of Ray's starts four processes."""

SRT = b"1\n00:00:02,000 --> 00:00:04,000\nthe second picture\n"


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> S3Server:
    """Nine good objects, one with a sidecar, one under a hard key, and three bad ones."""
    work = tmp_path / "made"
    work.mkdir()
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(5)}
    objects |= {f"sounds/{n}.wav": media_files.wav(n) for n in range(2)}
    objects["films/one.mp4"] = media_files.mp4(7)
    objects["films/one.srt"] = SRT
    objects["odd/100% sure + 🐕 ü.jpg"] = media_files.jpeg(50)
    objects["bad/empty.mp4"] = b""
    objects["bad/text.mp4"] = b"not a film at all\n" * 30
    objects["bad/cut.mp4"] = objects["films/one.mp4"][:3000]
    objects["notes/readme.pdf"] = b"%PDF"
    fill(s3_server, objects)
    return s3_server


def test_the_whole_path(
    bucket: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = labelled_queries(tmp_path)
    settings = settings_of(tmp_path, bucket.url, search__queries=queries)

    # First run: everything is new, every object ends in exactly one status. It is looked on at.
    metrics = MetricsSettings(textfile=tmp_path / "sensedex.prom")
    capsys.readouterr()
    with logged_as_asked(["--log-format", "json"]), told_progress(Console()) as told:
        report = run_in_flow(settings.model_copy(update={"metrics": metrics}), RunOptions(), *told)
    agree(samples((tmp_path / "sensedex.prom").read_text()), report)
    check_log(capsys.readouterr().err, report)
    assert dict(report.objects_by_status) == {"indexed": 10, "rejected": 3}
    assert report.objects_by_action == {"new": 13}  # a sidecar is one, too
    assert {f.key: f.code for f in report.failures} == {
        "bad/empty.mp4": "empty_object",
        "bad/text.mp4": "not_media",
        "bad/cut.mp4": "undecodable",
    }
    assert report.segments == report.points_in_index == 5 + 1 + 2 * 3 + 3
    assert report.segments_by_modality == {"vision": 9, "audio": 9, "text": 1}
    assert report.media_seconds == pytest.approx(5 + 5 + 6, abs=0.1)
    assert bucket.count("GET", "media/bad/empty.mp4") == 0  # the listing says it all
    assert bucket.count("GET", "media/notes/readme.pdf") == 0

    # Searching finds a re-encoded picture, two seconds of a sound, and a subtitle's moment.
    with open_searcher(settings) as searcher:
        assert searcher.search(asked(image=tmp_path / "query.jpg"))[0].key == "pictures/3.jpg"
        heard = searcher.search(asked(audio=tmp_path / "query.wav"))[0]
        assert (heard.key, heard.start_ms, heard.end_ms) == ("sounds/1.wav", 2000, 4000)
        told = searcher.search(asked(words="the second picture"))[0]
        assert (told.key, told.start_ms, told.end_ms) == ("films/one.mp4", 2000, 4000)
        assert told.payload["user_metadata"] == {"shelf": "a7"}
        quality = measure(searcher.search, read_queries(queries), window_ms=2000)
        films = searcher.search(asked(image=tmp_path / "query.jpg", media_type=MediaType.VIDEO))
        assert {moment.key for moment in films} == {"films/one.mp4"}
    assert {(s.what, s.k): s.found for s in quality.shares} == {
        ("asset", 1): 3,
        ("asset", 5): 3,
        ("moment", 1): 3,
        ("moment", 5): 3,
    }
    assert quality.missed == ()
    # The run has asked the same by itself, and its kept report says so.
    assert report.search == quality.shares == read_report(settings).search

    # Second run: nothing is fetched, nothing is written.
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file())
    bucket.requests.clear()
    again = run_in_flow(settings, RunOptions(), lambda _: None)
    assert dict(again.objects_by_status) == {"unchanged": 13}
    assert bucket.count("GET") == 0
    assert bucket.count("PUT") == 0
    after = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file())
    assert after == before

    # One added, one changed, one removed, one sidecar changed: those alone are touched.
    client = bucket.client()
    client.put_object(Bucket="media", Key="pictures/new.jpg", Body=media_files.jpeg(99))
    client.put_object(Bucket="media", Key="pictures/1.jpg", Body=media_files.jpeg(98))
    client.put_object(Bucket="media", Key="films/one.srt", Body=SRT.replace(b"second", b"2nd"))
    client.delete_object(Bucket="media", Key="sounds/0.wav")
    old = keys_live(settings)
    bucket.requests.clear()
    third = run_in_flow(settings, RunOptions(), lambda _: None)
    assert third.objects_by_action == {"new": 1, "changed": 3, "gone": 1, "unchanged": 9}
    fetched = {path for verb, path in bucket.requests if verb == "GET" and path.count("/") > 1}
    assert fetched == {
        "/media/pictures/new.jpg",
        "/media/pictures/1.jpg",
        "/media/films/one.mp4",
        "/media/films/one.srt",
    }
    live = keys_live(settings)
    assert "sounds/0.wav" not in live
    assert all(len(generations) == 1 for generations in live.values())
    changed = {key for key in live if key in old and live[key] != old[key]}
    assert changed == {"pictures/1.jpg", "films/one.mp4"}
    with open_index(settings.index) as index:
        assert index.count(live_only=False) == index.count(), "an orphan was left"

    # Content that turned bad goes from the index, and `retry` names it. The loop goes on with what
    # Ray began.
    assert (report.engine, third.engine) == ("ray", "ray")
    client.put_object(Bucket="media", Key="pictures/2.jpg", Body=b"no longer a picture")
    looped = in_loop(tmp_path, bucket.url, search__queries=queries)
    fourth = run_in_flow(looped, RunOptions(), lambda _: None)
    assert (fourth.engine, fourth.objects_by_action["changed"]) == ("loop", 1)
    assert "pictures/2.jpg" not in keys_live(settings)
    assert "pictures/2.jpg" in {failure.key for failure in read_failures(settings)}
    retried = run_in_flow(looped, RunOptions(retry_keys=("bad/text.mp4",)), lambda _: None)
    assert retried.objects_by_action["retry"] == 1
    status = read_status(settings)
    assert status.objects_by_status == {"indexed": 8, "rejected": 4}
    assert status.lease_holder is None
    assert read_report(settings).run_id == retried.run_id


def test_a_run_that_was_stopped_is_taken_over(bucket: S3Server, tmp_path: Path) -> None:
    """All shards are committed and loaded by Ray, nothing is written to the state; then it stops,
    and what one shard had is lost. The loop makes that alone."""
    settings = settings_of(tmp_path, bucket.url)
    stop_before(STATE, settings)
    store = open_store(settings.state.location, settings.source)
    receipts = list(open_receipts(store, 0))
    assert {r.shard for r in receipts} == {0, 1, 2}
    lost = next(r for r in receipts if r.shard == 2)
    Path(settings.state.location, RunFolder(lost.sequence, lost.run_id).receipt(2)).unlink()
    bucket.requests.clear()
    report = run_in_flow(in_loop(tmp_path, bucket.url), RunOptions(), lambda _: None)
    assert dict(report.objects_by_status) == {"indexed": 10, "rejected": 3}
    assert report.recovered_objects == 8
    fetched = {p.removeprefix("/media/") for v, p in bucket.requests if v == "GET" and p[7:]}
    embedded_again = {outcome.key for outcome in lost.outcomes}
    assert fetched == embedded_again, "more than the lost shard was embedded again"

    # The same as a clean run gives, point for point, without Ray and Prefect.
    clean = in_loop(tmp_path / "clean", bucket.url)
    run_index(clean)
    assert points_of(settings) == points_of(clean)


def test_what_is_wrong_is_named_before_anything_is_written(
    bucket: S3Server, tmp_path: Path
) -> None:
    with pytest.raises(BucketNotFound, match="nowhere"):
        run_in_flow(
            in_loop(tmp_path, bucket.url, source__bucket="nowhere"),
            RunOptions(),
            lambda _: None,
        )
    settings = in_loop(tmp_path, bucket.url)
    run_in_flow(settings, RunOptions(), lambda _: None)
    other = in_loop(tmp_path, bucket.url, encode__seed=1, state__location=str(tmp_path / "b"))
    run_in_flow(other, RunOptions(), lambda _: None)  # the same dimension: another generation
    client = bucket.client()
    for number in range(5):
        client.delete_object(Bucket="media", Key=f"pictures/{number}.jpg")
    with pytest.raises(PlanRefused, match="--allow-removals"):
        run_in_flow(
            in_loop(tmp_path, bucket.url, state__max_removed_share=0.2),
            RunOptions(),
            lambda _: None,
        )
    with (
        hold_lease(open_store(settings.state.location, settings.source), settings.state, "another"),
        pytest.raises(LeaseHeld, match="another"),
    ):
        run_in_flow(settings, RunOptions(), lambda _: None)
    assert asset_id("media", "pictures/0.jpg") in {
        row.asset_id for row in read_plan_of(settings, tmp_path) if row.action == "gone"
    }


def test_a_collection_of_another_dimension_is_refused(bucket: S3Server, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, bucket.url, embed__engine="loop")
    from encoders.modality import Modality
    from pipeline.records import VectorSpace

    with open_index(settings.index) as index:
        index.ensure_collection([VectorSpace("vision", Modality.VISION, 12, "other", "f")])
    with pytest.raises(IndexMismatch, match="12 dimensions"):
        run_in_flow(settings, RunOptions(), lambda _: None)
    assert not Path(settings.state.location, "current.json").exists()


def test_parameters_given_by_name_win_and_defaults_hide_nothing() -> None:
    source = SourceSettings.model_validate(json.loads('{"bucket": "films"}'))
    assert given_fields({"source": source, "index": None}) == {"source.bucket": "films"}


def test_a_second_encoder_stands_beside_the_first(bucket: S3Server, tmp_path: Path) -> None:
    """Its vectors are further named vectors of the same points; each answers by its own."""
    folder = clip_folder(tmp_path / "clip", "clip")
    also = [{"encoder": "clip", "weights": str(folder)}]
    labels = ["a dog", "a bell", "rain"]
    more = {"encode__also": also, "decode__frames_per_window": 4, "tags__labels": labels}
    settings = in_loop(tmp_path, bucket.url, **more)
    report = run_in_flow(settings, RunOptions(), lambda _: None)
    assert report.objects_by_status["indexed"] == 10
    picture = tmp_path / "asked.jpg"
    picture.write_bytes(media_files.jpeg(3))
    with open_searcher(settings) as searcher:
        for name in ("vision", "clip_vision"):
            first = searcher.search(asked(image=picture, using=(name,), limit=1))[0]
            assert first.key == "pictures/3.jpg", name
            assert first.score > 0.99
            # One of three labels has a third of the softmax at least: every window has a tag.
            assert first.payload["tags"]
            assert {score["label"] for score in first.payload["tag_scores"]} <= set(labels)
            assert set(first.payload["tags"]) <= set(labels)
        assert searcher.search(asked(words="the second picture", using=("clip_text",), limit=1))
        for over, said in (
            (("vision", "clip_vision"), "cannot be compared"),
            (("clip_audio",), "no vector"),
        ):
            with pytest.raises(SettingsError, match=said):
                searcher.search(asked(image=picture, using=over))
    again = run_in_flow(settings, RunOptions(), lambda _: None)
    assert again.objects_by_action["unchanged"] > 0
    assert again.objects_by_action.get("new", 0) == 0


def test_the_flow_takes_every_part_of_the_settings() -> None:
    """Prefect draws its form from the signature, which is why the parts stand there by name. A run
    answers nobody: how `sensedex serve` does, and its keys, are not for Prefect's pages."""
    hints = get_type_hints(index_flow.fn)
    wanted = {name: field.annotation | None for name, field in Settings.model_fields.items()}
    del wanted["serve"]
    assert {name: hints.get(name) for name in wanted} == wanted
    assert "serve" not in hints
