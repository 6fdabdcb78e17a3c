"""Several buckets and prefixes: addresses, patterns of keys, and runs over two buckets."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.demo_server import DemoServer
from pipeline.errors import PlanRefused, SettingsError
from pipeline.index.vector_index import open_index
from pipeline.places import GOOGLE_ENDPOINT, Scope, scopes_of, split_uri
from pipeline.records import MediaObject
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.settings import SourceSettings
from pipeline.source.globs import matcher
from pipeline.source.select import ListingUnsorted, SelectionCounts, select
from tests.support import media_files
from tests.support.run_settings import settings_for

ARN = "arn:aws:s3:eu-central-1:123456789012:accesspoint/films"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/films"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://films", ("s3", "films", "")),
        ("s3://films/2026/a b.mp4", ("s3", "films", "2026/a b.mp4")),
        ("s3://films//lead", ("s3", "films", "/lead")),
        ("gs://films/x?y#z", ("gs", "films", "x?y#z")),
        (f"s3://{ARN}", ("s3", ARN, "")),
        (f"s3://{ARN}/2026/a.mp4", ("s3", ARN, "2026/a.mp4")),
        (f"s3://{OUTPOST}/a.mp4", ("s3", OUTPOST, "a.mp4")),
    ],
)
def test_addresses(uri: str, expected: tuple[str, str, str]) -> None:
    assert split_uri(uri) == expected


@pytest.mark.parametrize("uri", ["films", "http://films/a", "s3://", "s3:///a", "/a/b", ""])
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(uri))):
        split_uri(uri)
    with pytest.raises(SettingsError, match=r"source\.places"):
        _ = SourceSettings(places=(uri,)).scopes


def test_each_object_is_in_one_scope() -> None:
    named = ["s3://b/2026/05/", "s3://b/2026/", "s3://a", "s3://b/2026/", "s3://b/x", "s3://a/z"]
    assert scopes_of(named) == (Scope("a"), Scope("b", "2026/"), Scope("b", "x"))
    with pytest.raises(ValueError, match="two endpoints"):
        scopes_of(["s3://a", "gs://b"])


PREFIXES = st.lists(st.text(alphabet="ab/", max_size=3), min_size=1, max_size=4)
KEYS = st.lists(st.text(alphabet="ab/", min_size=1, max_size=4), max_size=8)


@given(PREFIXES, KEYS)
def test_listing_by_scopes_is_in_order_and_whole(prefixes: list[str], keys: list[str]) -> None:
    scopes = scopes_of(f"s3://b/{prefix}" for prefix in prefixes)
    listed = [k for scope in scopes for k in sorted(set(keys)) if k.startswith(scope.prefix)]
    assert listed == sorted({k for k in keys if k.startswith(tuple(prefixes))})


@pytest.mark.parametrize(
    ("pattern", "means", "not_those"),
    [
        ("*.mp4", ["a.mp4", ".mp4", "new\nline.mp4"], ["d/a.mp4", "a.mp4x", "a.MP4"]),
        ("**/*.mp4", ["a.mp4", "d/a.mp4", "d/e/a.mp4", "/a.mp4"], ["d/a.mov"]),
        ("2026/**", ["2026/a", "2026/d/a", "2026/"], ["2026", "x/2026/a"]),
        ("**/drafts/**", ["drafts/a", "x/drafts/a", "x/y/drafts/z/a"], ["drafts", "xdrafts/a"]),
        ("a**b", ["ab", "a/b", "a/x/b"], ["ab/"]),
        ("take-?.wav", ["take-1.wav", "take-é.wav"], ["take-12.wav", "take-/.wav"]),
        ("[ab]*.jpg", ["a.jpg", "bx.jpg"], ["c.jpg", "a/b.jpg"]),
        ("[!a-c].jpg", ["d.jpg", "-.jpg"], ["b.jpg", "/.jpg"]),
        ("[]-].jpg", ["].jpg", "-.jpg"], ["a.jpg"]),
        ("[a", ["[a"], ["a"]),
        ("[z-a]", ["z", "-", "a"], ["m"]),
        ("\\*.jpg", ["*.jpg"], ["a.jpg"]),
        ("a.b+(c)", ["a.b+(c)"], ["axb+(c)", "a.bb(c)"]),
    ],
)
def test_patterns(pattern: str, means: list[str], not_those: list[str]) -> None:
    found = matcher([pattern])
    assert [key for key in [*means, *not_those] if found(key)] == means
    assert not matcher([])("a")
    assert matcher(["nothing", pattern])(means[0])


@given(st.text(max_size=8), st.text(max_size=8))
def test_any_text_is_a_pattern(pattern: str, key: str) -> None:
    assert matcher([pattern])(key) in (True, False)


def selected(source: SourceSettings, *places: str) -> tuple[list[str], SelectionCounts]:
    counts = SelectionCounts()
    listed = [MediaObject(*place.split(":"), "e", 1, "") for place in places]
    found = select(listed, source, counts)
    return [":".join([*one.object.place, *(s.key for s in one.sidecars)]) for one in found], counts


def test_what_is_selected_of_two_buckets() -> None:
    source = SourceSettings(
        places=("s3://zoo", "s3://films/2026/"), include=("**/*.mp4",), exclude=("**/old*",)
    )
    found, counts = selected(
        source, "films:2026/a.mp4", "films:2026/a.srt", "films:2026/b.jpg", "films:2026/old.mp4",
        "films:2026/old.srt", "films:a.mp4", "zoo:a.mp4", "zoo:a.srt",
    )  # fmt: skip
    assert found == ["films:2026/a.mp4:2026/a.srt", "zoo:a.mp4:a.srt"]
    assert counts.not_selected == {"include": 1, "exclude": 2, "prefix": 1}
    with pytest.raises(ListingUnsorted):
        selected(source, "zoo:a.mp4", "films:2026/a.mp4")


def test_text_of_one_bucket_is_not_beside_media_of_another() -> None:
    found, counts = selected(SourceSettings(places=("s3://a", "s3://b")), "a:x.mp4", "b:x.srt")
    assert (found, counts.not_selected) == (["a:x.mp4"], {"orphan_sidecar": 1})


def test_what_settings_name() -> None:
    assert SourceSettings(bucket="b", prefix="p/").scopes == (Scope("b", "p/"),)
    source = SourceSettings(places=("gs://b/x", "gs://a"))
    assert (source.name, source.title, source.endpoint) == ("a", "a, b", GOOGLE_ENDPOINT)
    assert SourceSettings(places=("s3://a",)).endpoint is None
    assert source.covers("b", "xy")
    assert not source.covers("b", "y")
    for wrong in ({"bucket": "b"}, {"folder": "."}, {"prefix": "p/"}):
        with pytest.raises(ValueError, match=r"source\."):
            SourceSettings(places=("s3://a",), **wrong)


def test_a_second_bucket_joins_the_first(seaweed_server: DemoServer, tmp_path: Path) -> None:
    """What was indexed of one bucket goes on untouched; a key of both is two assets; a bucket that
    is named no more leaves the index, past the guard."""
    first, second = sorted(f"b-{uuid.uuid4().hex}" for _ in range(2))
    settings = settings_for(
        tmp_path, seaweed_server.url, bucket=second, encode__encoder="imagebind-demo",
        embed__engine="loop", source__exclude=["*/raw/*"],
    )  # fmt: skip
    client = s3.make_client(settings.source)
    for number, bucket in enumerate((first, second)):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="in/a.jpg", Body=media_files.jpeg(number))
    client.put_object(Bucket=second, Key="in/raw/b.jpg", Body=media_files.jpeg(3))
    assert run_index(settings).objects_by_action == {"new": 1}
    both = settings.model_copy(
        update={
            "source": settings.source.model_copy(
                update={"bucket": "", "places": (f"s3://{second}/in/", f"s3://{first}")}
            )
        }
    )
    report = run_index(both)
    assert report.objects_by_action == {"new": 1, "unchanged": 1}
    assert report.bucket == f"{first}, {second}"
    assert run_index(both).objects_by_action == {"unchanged": 2}
    with open_index(both.index) as index:
        assert index.count() == 2
    with pytest.raises(PlanRefused, match="1 of 2"):
        run_index(settings)
    assert run_index(settings, RunOptions(allow_removals=True)).objects_by_status == {
        "unchanged": 1,
        "removed": 1,
    }
    with open_index(both.index) as index:
        assert index.count() == 1
