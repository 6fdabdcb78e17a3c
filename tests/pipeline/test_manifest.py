"""A manifest as a source: its formats, its metadata, versions, and what it does not name."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.demo_server import DemoServer
from pipeline.errors import ManifestInvalid, PlanRefused
from pipeline.ids import Recipe, asset_id, generation
from pipeline.index.vector_index import open_index
from pipeline.records import MediaObject
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.settings import Settings, SourceSettings
from pipeline.source import sorted_listing
from pipeline.source.manifest_rows import manifest_batches
from pipeline.source.select import SelectionCounts, select
from pipeline.source.sorted_listing import LISTED, merged, object_of, write_runs
from pipeline.source.source import open_source
from tests.older_state import stored_points
from tests.support import media_files
from tests.support.run_settings import settings_for

ROWS: list[dict[str, Any]] = [
    {"uri": "s3://films/a b,c.mp4", "year": 2026, "rating": 4.5, "public": True, "title": "Münzen"},
    {"uri": "gs://films/b.mp4", "version_id": "v7", "etag": '"e"', "size_bytes": 9},
]
METADATA = '{"public": true, "rating": 4.5, "title": "Münzen", "year": 2026}'


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    batches = list(manifest_batches(path, path.name))
    table = pa.Table.from_batches(batches, LISTED)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Of JSON Lines or Parquet."""
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        text = "\n".join(json.dumps(row) for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def csv_of(path: Path) -> Path:
    path.write_text(
        "uri,year:int,rating:float,public:bool,title,version_id,etag,size_bytes\r\n"
        '"s3://films/a b,c.mp4",2026,4.5,yes,Münzen,,,\r\n'
        "gs://films/b.mp4,,,,,v7,e,9\r\n",
        encoding="utf-8-sig",
    )
    return path


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.ndjson.gz", "m.parquet"])
def test_formats_say_the_same(tmp_path: Path, name: str) -> None:
    path = csv_of(tmp_path / name) if name.endswith("csv") else write(tmp_path / name, ROWS)
    if name.endswith("parquet"):  # a column has one type there, and every row a cell
        rows = [{**dict.fromkeys({**ROWS[0], **ROWS[1]}), **row} for row in ROWS]
        write(path, rows)
    assert rows_of(path) == [
        ("films", "a b,c.mp4", None, None, None, None, None, METADATA),
        ("films", "b.mp4", "e", 9, None, None, "v7", None),
    ]


def test_times_become_text(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, tzinfo=UTC)
    row = {"uri": "s3://a/b", "last_modified": when, "shot": when, "day": when.date()}
    [found] = rows_of(write(tmp_path / "m.parquet", [row]))
    assert found[4] == "2026-01-02T03:00:00+00:00"
    assert json.loads(found[7]) == {"day": "2026-01-02", "shot": "2026-01-02T03:00:00+00:00"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.txt", "x", "ends with none"),
        ("m.csv", "uri,uri\n", "twice"),
        ("m.csv", "uri,a:date\n", "a type is one of"),
        ("m.csv", "uri,a\ns3://b/c\n", "line 2 has 1 cells"),
        ("m.csv", "uri,year:int\ns3://b/c,x\n", "row 1: year is 'x', which is no int"),
        ("m.csv", "uri\nfilms/c\n", "row 1: 'films/c' does not begin"),
        ("m.csv", "url\ns3://b/c\n", "no uri"),
        ("m.csv", "uri,a.b\ns3://b/c,1\n", "'a.b' names no metadata"),
        ("m.csv", "uri\ns3://b\n", "names no key"),
        ("m.jsonl", "{", "line 1 is no JSON"),
        ("m.jsonl", "[1]", "line 1 is no object"),
        ("m.jsonl", '{"uri": "s3://b/c", "a": [1]}', "a is neither text"),
        ("m.jsonl", '{"uri": "s3://b/c", "a": NaN}', "a is nan"),
        ("m.jsonl", '{"uri": "s3://b/c", "a": 9223372036854775808}', "64-bit"),
        ("m.jsonl", '{"uri": "s3://b/c", "size_bytes": -1}', "size_bytes is -1"),
        ("m.jsonl", '{"uri": "s3://b/c", "a": "' + "x" * 20_000 + '"}', "more than 16384 bytes"),
        ("m.jsonl.gz", "no gzip", "cannot be read"),
        ("m.parquet", "no parquet", "cannot be read"),
    ],
)
def test_what_is_no_manifest_says_where(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ManifestInvalid, match=rf"Manifest {name}: .*{says}"):
        rows_of(tmp_path / name)


PLACES = st.sets(st.tuples(st.sampled_from("ab"), st.text(alphabet="xé🪙/ ", min_size=1)))


@given(PLACES.flatmap(lambda places: st.permutations(sorted(places))))
def test_any_order_becomes_that_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_listing, "ROWS_PER_RUN", 3)
        patch.setattr(sorted_listing, "ROWS_PER_READ", 2)
        batch = pa.RecordBatch.from_pylist(
            [{"bucket": b, "key": k, "etag": "e", "size_bytes": 1} for b, k in places], LISTED
        )
        write_runs([batch.slice(0, 2), batch.slice(2)], folder)
    runs = sorted(folder.iterdir())
    assert len(runs) == -(-len(places) // 3)
    found = [object_of(row).place for row in merged(runs, "It")]
    assert found == sorted(places) == sorted(places, key=lambda p: (p[0], p[1].encode()))


def test_an_object_is_named_once(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pylist([{"bucket": "b", "key": "k"}] * 2, LISTED)
    write_runs([batch], tmp_path)
    with pytest.raises(ManifestInvalid, match=r"It names s3://b/k twice"):
        list(merged(tmp_path.iterdir(), "It"))


def test_metadata_make_a_generation() -> None:
    recipe = Recipe(("v",), "w", "s")
    plain = MediaObject("b", "k", "e", 1, "")
    years = [MediaObject("b", "k", "e", 1, "", metadata=f'{{"year": {n}}}') for n in (1, 2)]
    assert len({generation(obj, (), recipe) for obj in [plain, *years]}) == 3


@pytest.fixture
def media(seaweed_server: DemoServer, tmp_path: Path) -> Settings:
    """Four objects of two buckets, one in two versions, and settings that name the first bucket."""
    settings = settings_for(
        tmp_path, seaweed_server.url, bucket=f"b-{uuid.uuid4().hex}",
        encode__encoder="imagebind-demo", embed__engine="loop",
    )  # fmt: skip
    client = s3.make_client(settings.source)
    for bucket in (settings.source.bucket, settings.source.bucket + "-2"):
        client.create_bucket(Bucket=bucket)
        for number, key in enumerate(("a.jpg", "b.jpg")):
            body = media_files.jpeg(number + len(bucket))
            client.put_object(Bucket=bucket, Key=key, Body=body)
    return settings


def by(settings: Settings, manifest: object, **fields: Any) -> Settings:
    update = {"bucket": "", "manifest": str(manifest), **fields}
    return settings.model_copy(update={"source": settings.source.model_copy(update=update)})


def metadata_in(settings: Settings) -> dict[str, Any]:
    return {
        f"{payload['kind']} {payload['uri']}": payload.get("metadata")
        for payload in stored_points(settings).values()
    }


def test_a_manifest_beside_a_bucket(media: Settings, tmp_path: Path) -> None:
    """It adds objects of another bucket, and metadata; what it does not name is kept; a change of
    metadata alone is seen; what it names and is not there is gone."""
    bucket = media.source.bucket
    assert run_index(media).objects_by_action == {"new": 2}
    rows = [
        {"uri": f"s3://{bucket}-2/b.jpg", "year": 2026},
        {"uri": f"s3://{bucket}/a.jpg", "year": 2025, "public": False},
        {"uri": f"s3://{bucket}/never.jpg"},
    ]
    chosen = by(media, write(tmp_path / "m.jsonl", rows))
    place = open_source(chosen.source)
    place.check()
    listed = list(place.listed())
    assert [obj.place for obj in listed] == [(bucket, "a.jpg"), (f"{bucket}-2", "b.jpg")]
    assert "1 objects of the manifest are not there" in " ".join(place.notes())
    report = run_index(chosen)
    assert report.objects_by_action == {"changed": 1, "new": 1, "unchanged": 1}
    assert run_index(chosen).objects_by_action == {"unchanged": 3}
    with open_index(media.index) as index:
        assert index.count() == 3
    said = {
        f"s3://{bucket}/a.jpg": {"public": False, "year": 2025},
        f"s3://{bucket}/b.jpg": None,
        f"s3://{bucket}-2/b.jpg": {"year": 2026},
    }
    assert metadata_in(chosen) == {
        f"{kind} {uri}": values for kind in ("segment", "asset") for uri, values in said.items()
    }
    s3.delete(s3.make_client(media.source), bucket, "a.jpg")
    with pytest.raises(PlanRefused, match="1 of 3"):
        run_index(chosen)
    report = run_index(chosen, RunOptions(allow_removals=True))
    assert report.objects_by_action == {"gone": 1, "unchanged": 2}
    whole = by(media, tmp_path / "m.jsonl", manifest_is_whole=True)
    report = run_index(whole, RunOptions(allow_removals=True))
    assert report.objects_by_action == {"gone": 1, "unchanged": 1}
    with open_index(media.index) as index:
        assert index.count() == 1


def test_a_version_is_pinned(media: Settings, tmp_path: Path) -> None:
    """By a manifest that lies in the bucket. Another version is another content; without one it is
    the latest."""
    source, client = media.source, s3.make_client(media.source)
    enabled = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=source.bucket, VersioningConfiguration=enabled)
    bodies = [media_files.jpeg(7), media_files.jpeg(8)]
    first, second = (
        client.put_object(Bucket=source.bucket, Key="v.jpg", Body=body)["VersionId"]
        for body in bodies
    )

    def fetched(**pinned: str) -> tuple[str | None, bytes]:
        row = {"uri": f"s3://{source.bucket}/v.jpg", **pinned}
        client.put_object(Bucket=source.bucket, Key="m.jsonl", Body=json.dumps(row).encode())
        place = open_source(by(media, f"s3://{source.bucket}/m.jsonl").source)
        [obj] = place.listed()
        place.fetch(obj, tmp_path / "object")
        return obj.version_id, (tmp_path / "object").read_bytes()

    assert fetched(version_id=first) == (first, bodies[0])
    assert fetched(version_id=second) == (second, bodies[1])
    assert fetched() == (None, bodies[1])


def test_what_a_row_says_is_not_asked(tmp_path: Path) -> None:
    """No server is there to be asked."""
    row = {"uri": "s3://b/a.mp4", "etag": "e", "size_bytes": 5, "last_modified": "2026-01-02"}
    write(tmp_path / "m.jsonl", [row, {**row, "uri": "s3://c/p/a.mp4"}])
    source = SourceSettings(
        manifest=str(tmp_path / "m.jsonl"), endpoint_url="http://127.0.0.1:9", region="x"
    )
    assert [obj.etag for obj in open_source(source).listed()] == ["e", "e"]
    narrower = source.model_copy(update={"places": ("s3://c/p/",)})
    counts = SelectionCounts()
    found = list(select(open_source(narrower).listed(), narrower, counts))
    assert [one.object.place for one in found] == [("c", "p/a.mp4")]
    assert counts.not_selected == {"prefix": 1}
    assert found[0].object == MediaObject("c", "p/a.mp4", "e", 5, "2026-01-02")
    assert asset_id("c", "p/a.mp4") != asset_id("b", "p/a.mp4")


@pytest.mark.parametrize("manifest", ["nowhere.csv", "ftp://a/b.csv"])
def test_a_manifest_that_is_not_there(manifest: str) -> None:
    with pytest.raises(ManifestInvalid, match=r"nowhere\.csv|ftp://"):
        open_source(SourceSettings(manifest=manifest)).check()
