"""A film of which parts are fetched from a real server ends as one that was fetched whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli.demo_server import DemoServer
from pipeline import codec
from pipeline.byte_ranges import ByteRanges
from pipeline.embed import fetch
from pipeline.embed.decode import DecodeStage
from pipeline.embed.fetch import Fetched, fetched_ahead
from pipeline.embed.rows import DecodedRow, Shard
from pipeline.media.mp4_index import FilmIndex
from pipeline.progress import Stage, StageProgress
from pipeline.records import Action, ObjectOutcome, PlanRow, Status
from pipeline.run.whole_run import run_index
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import DecodeSettings
from tests.support.run_settings import settings_for
from tests.support.sparse_films import write_film

KEY = "film.mp4"


@pytest.fixture(scope="module")
def source(seaweed_server: DemoServer, tmp_path_factory: pytest.TempPathFactory) -> SourceSettings:
    """A bucket with a film of 36 MB."""
    made = SourceSettings(bucket="partial", endpoint_url=seaweed_server.url)
    path = tmp_path_factory.mktemp("film") / KEY
    write_film(path)
    client = s3.make_client(made)
    client.create_bucket(Bucket="partial")
    client.put_object(Bucket="partial", Key=KEY, Body=path.read_bytes(), Metadata={"shot": "1"})
    return made


def planned(source: SourceSettings) -> PlanRow:
    [obj] = list_pages(s3.make_client(source), source.bucket, "")
    return PlanRow(Action.NEW, obj, "asset", "g", "new", shard=0)


def indexed(
    source: SourceSettings, row: PlanRow, sampling: Any
) -> tuple[list[DecodedRow], ObjectOutcome, int]:
    """Its windows, its outcome, and the bytes that were fetched."""
    settings = DecodeSettings(sampling=sampling)
    told: dict[Stage, StageProgress] = {}

    def note(stage: Stage, more: StageProgress) -> None:
        told[stage] = told.get(stage, StageProgress()).plus(more)

    stage = DecodeStage(settings, "imagebind-demo", ("f",), note)
    with fetched_ahead(source, settings, iter([row])) as fetched:
        *windows, end = [found for each in fetched for found in stage.rows(each, Shard(0, 1))]
    stage.close()
    assert end.outcome is not None
    outcome = codec.from_bytes(ObjectOutcome, end.outcome)
    return windows, replace(outcome, seconds_by_stage={}), told[Stage.FETCH].bytes


def test_parts_end_as_the_whole(source: SourceSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    row = planned(source)
    size = row.object.size_bytes
    windows, outcome, asked_bytes = indexed(source, row, "keyframes")
    assert asked_bytes < 0.5 * size
    assert outcome.status is Status.INDEXED
    assert len(windows) == 6
    monkeypatch.setattr(fetch, "wants_parts", lambda *_: False)
    assert indexed(source, row, "keyframes") == (windows, outcome, size)


def test_what_turns_out_to_be_needed_is_fetched(
    source: SourceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the index had lied: the boxes and the beginning are there, and no key frame after."""
    row = planned(source)
    right = indexed(source, row, "keyframes")[:2]

    def too_little(index: FilmIndex, size_bytes: int, _: DecodeSettings) -> ByteRanges:
        return index.boxes.plus([(0, size_bytes // 2)])

    monkeypatch.setattr(fetch, "needed_bytes", too_little)
    assert indexed(source, row, "keyframes") == (*right, row.object.size_bytes)


def test_exact_sampling_and_what_is_no_film_are_fetched_whole(source: SourceSettings) -> None:
    row = planned(source)
    assert indexed(source, row, "exact")[2] == row.object.size_bytes
    client = s3.make_client(source)
    client.put_object(Bucket="partial", Key="noise.bin", Body=bytes(range(256)) * 2**17)
    try:
        [noise] = list_pages(client, "partial", "noise")
        _, outcome, asked_bytes = indexed(source, replace(row, object=noise), "keyframes")
        assert outcome.status is Status.REJECTED
        assert asked_bytes == noise.size_bytes
    finally:
        client.delete_object(Bucket="partial", Key="noise.bin")


def test_one_that_changes_between_its_parts_has_changed(
    source: SourceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = planned(source)
    client = s3.make_client(source)
    before = client.get_object(Bucket="partial", Key=KEY)["Body"].read()
    find = fetch.needed_bytes

    def meanwhile(*given: Any) -> ByteRanges | None:
        client.put_object(Bucket="partial", Key=KEY, Body=before[:-1] + b"?")
        return find(*given)

    monkeypatch.setattr(fetch, "needed_bytes", meanwhile)
    try:
        windows, outcome, fetched_bytes = indexed(source, row, "keyframes")
    finally:
        client.put_object(Bucket="partial", Key=KEY, Body=before, Metadata={"shot": "1"})
    assert (windows, fetched_bytes) == ([], 0)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == (Status.FAILED, "object_changed")


def test_the_report_counts_what_came(source: SourceSettings, tmp_path: Path) -> None:
    """The ranges that were asked for, and the sidecar; not the size of the film."""
    row = planned(source)
    asked_bytes = indexed(source, row, "keyframes")[2]
    subtitles = b"1\n00:00:00,000 --> 00:00:01,000\na test picture\n"
    client = s3.make_client(source)
    client.put_object(Bucket="partial", Key="film.srt", Body=subtitles)
    settings = settings_for(
        tmp_path, source.endpoint_url, bucket="partial", decode__sampling="keyframes",
        encode__encoder="imagebind-demo", embed__engine="loop",
    )  # fmt: skip
    try:
        report = run_index(settings)
    finally:
        client.delete_object(Bucket="partial", Key="film.srt")
    assert report.objects_by_status == {"indexed": 2}, "a sidecar is one, too"
    assert report.bytes_fetched == asked_bytes + len(subtitles) < 0.5 * row.object.size_bytes


def test_the_file_has_holes_and_goes(source: SourceSettings, tmp_path: Path) -> None:
    row = planned(source)
    fetcher = fetch.Fetcher(source, DecodeSettings(sampling="keyframes_only"), tmp_path)
    fetched: Fetched = fetcher.fetch(row)
    assert fetched.path is not None
    assert fetched.found is not None
    assert fetched.found.metadata == {"shot": "1"}
    assert fetched.path.stat().st_size == row.object.size_bytes
    assert fetched.path.stat().st_blocks * 512 < 0.6 * row.object.size_bytes
    fetched.delete()
    assert list(tmp_path.iterdir()) == []
