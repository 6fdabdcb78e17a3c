"""The table of the payload's fields is what the code writes and reads, and what the docs say."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from pipeline.index.new_collection import INDEX_TYPES, INDEXED_FIELDS
from pipeline.index.vector_index import open_index
from pipeline.payload_fields import (
    ANCHORS,
    BOTH,
    FIRST_VERSION,
    SEGMENTS,
    IndexKind,
    PayloadField,
    PointKind,
    Subject,
    ValueType,
    Verified,
)
from pipeline.payload_schema import FIELDS, _each_once, fields_on
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from pipeline.settings_fields import OptionalField
from pipeline.settings_index import IndexSettings
from tests.older_state import BEFORE_ROOMS, BUCKET, content, older_settings, stored_points
from tests.payload_docs import (
    DOCUMENT,
    JSON_SCHEMA,
    JSON_TYPES,
    draw,
    json_schema,
    json_schema_text,
    with_fields,
)
from tests.support.invented_assets import SPACES, load
from tests.support.s3_server import S3Server

BY_NAME = {field.name: field for field in FIELDS}
LEFT_OUT = frozenset(get_args(OptionalField))
NOT_ALWAYS = frozenset(field.name for field in FIELDS if field.only_where)
# Only where a manifest or tags are asked for: tests of those sources look at them.
OF_SOURCES = frozenset({"metadata", "object_tags"})
# The collection in tests/fixtures/before_rooms is older than the first release, which may have a
# field that it has not.
BEFORE_RELEASE = frozenset({"words"})
LATER = BEFORE_RELEASE | {field.name for field in FIELDS if field.since != FIRST_VERSION}
Payloads = Iterable[Mapping[str, Any]]


def check_written(payloads: Payloads, missing: frozenset[str] = frozenset()) -> None:
    """Each payload is as the JSON Schema says, and together those of a kind have every field of the
    table but `missing`."""
    schema = json_schema()
    of_any = Draft202012Validator(schema)
    seen: dict[str, set[str]] = {str(kind): set() for kind in PointKind}
    for payload in payloads:
        kind = payload["kind"]
        of_kind = Draft202012Validator(schema["$defs"][kind])  # whose errors name the field
        assert [error.message for error in of_kind.iter_errors(payload)] == []
        assert of_any.is_valid(payload)
        seen[kind] |= payload.keys()
    for kind in PointKind:
        assert seen[kind] == {field.name for field in fields_on(kind)} - missing


def stored(settings: IndexSettings, folder: Path) -> list[dict[str, Any]]:
    """What is in a collection of two assets without tags, their vectors invented."""
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, folder, [("a.mp4", "g1", 3), ("b.mp4", "g1", 1)])
    return list(stored_points(Settings(index=settings)).values())


def test_a_run_writes_what_the_table_says(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    client.create_bucket(Bucket=BUCKET)
    for key in ("photos/cow.jpg", "photos/cow.txt", "sounds/owl.ogg", "videos/insects-silent.mp4"):
        client.put_object(Bucket=BUCKET, Key=key, Body=content(key), Metadata={"Shelf": "a7"})
    settings = older_settings(s3_server.url, tmp_path, encode__also=[])
    run_index(settings)
    payloads = stored_points(settings).values()
    check_written(payloads, OF_SOURCES)
    assert {payload["media_type"] for payload in payloads} == {"image", "audio", "video"}


def test_fields_may_be_missing_in_their_case_alone(tmp_path: Path) -> None:
    whole = stored(IndexSettings(path=tmp_path / "whole"), tmp_path)
    check_written(whole, NOT_ALWAYS)
    small = stored(
        IndexSettings(path=tmp_path / "small", payload_exclude=tuple(LEFT_OUT)), tmp_path
    )
    check_written(small, NOT_ALWAYS | LEFT_OUT)


def test_an_older_collection_is_as_the_table_says() -> None:
    """A field that it does not know came after it, and is named as such."""
    points = json.loads((BEFORE_ROOMS / "points.json").read_bytes()).values()
    check_written(points, LATER | OF_SOURCES)


def test_a_field_that_one_side_does_not_know_is_seen(tmp_path: Path) -> None:
    """The tests above must be able to fail, whether the table or the code has the field more."""
    payloads = stored(IndexSettings(path=tmp_path / "qdrant"), tmp_path)
    with pytest.raises(AssertionError, match="'colour' was unexpected"):
        check_written([*payloads, {**payloads[0], "colour": "red"}], NOT_ALWAYS)
    with pytest.raises(AssertionError, match="-1 is less than the minimum"):
        check_written([*payloads, {**payloads[0], "width": -1}], NOT_ALWAYS)
    with pytest.raises(AssertionError, match="'uri' is a required property"):
        check_written(_without("uri", payloads), NOT_ALWAYS)
    with pytest.raises(AssertionError, match="fps"):
        check_written(_without("fps", payloads), NOT_ALWAYS)


def _without(name: str, payloads: Payloads) -> Iterator[dict[str, Any]]:
    for payload in payloads:
        yield {field: value for field, value in payload.items() if field != name}


def test_fields_are_stored_in_the_order_of_the_older_collection(tmp_path: Path) -> None:
    """So that a payload's bytes stay as they are; the load adds its fields at the end."""
    kept = shutil.copytree(BEFORE_ROOMS, tmp_path / "kept")
    older = stored_points(older_settings("http://127.0.0.1:1", kept)).values()
    now = stored(IndexSettings(path=tmp_path / "qdrant"), tmp_path)
    for kind in PointKind:
        [order] = {_always(payload) for payload in now if payload["kind"] == kind}
        assert {_always(payload) for payload in older if payload["kind"] == kind} == {order}
        assert set(order) == {field.name for field in fields_on(kind)} - NOT_ALWAYS - LATER


def _always(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in payload if name not in NOT_ALWAYS | LATER)


def test_the_documents_are_drawn_from_the_table() -> None:
    """Where this fails: python -m tests.payload_docs"""
    document = DOCUMENT.read_text()
    assert document == with_fields(document, draw(FIELDS))
    assert JSON_SCHEMA.read_text() == json_schema_text()


def test_the_schema_is_one() -> None:
    assert JSON_TYPES.keys() == set(ValueType)
    Draft202012Validator.check_schema(json.loads(JSON_SCHEMA.read_text()))
    assert not Draft202012Validator(json_schema()).is_valid({"kind": "segment"})


def test_a_later_field_says_since_when() -> None:
    later = PayloadField(
        "colour", ValueType.KEYWORD, "`red`", SEGMENTS, Subject.WINDOW, since="0.2.0"
    )
    assert draw([later]).splitlines()[-1] == "| `colour` | S | keyword | `red`; since 0.2.0 | | |"


def test_the_collection_has_the_indexes_of_the_table() -> None:
    assert INDEX_TYPES.keys() == set(IndexKind)
    assert {n: kind.value for n, kind in INDEXED_FIELDS.items()} == {
        field.name: str(field.index) for field in FIELDS if field.index is not None
    }


def nodes_of_the_code(root: Path) -> Iterator[ast.AST]:
    for package in ("pipeline", "flows"):
        for path in (root / package).rglob("*.py"):
            yield from ast.walk(ast.parse(path.read_text()))


def test_what_code_reads_is_known_and_stored(root_dir: Path) -> None:
    """Every `payload["name"]`, and every field of a filter, which has an index."""
    read, filtered = set(), set()
    for node in nodes_of_the_code(root_dir):
        match node:
            case ast.Subscript(value=owner, slice=ast.Constant(value=name), ctx=ast.Load()):
                if ast.unparse(owner).split(".")[-1] == "payload":
                    read.add(name)
            case ast.Call(func=called, keywords=[ast.keyword("key", ast.Constant(name)), *_]):
                if ast.unparse(called) == "q.FieldCondition":
                    filtered.add(name)
    assert {"segment_index", "start_ms", "uri"} <= read
    assert {"live", "sequence", "asset_id"} <= filtered
    assert sorted((read | filtered) - BY_NAME.keys()) == []
    assert sorted(read & LEFT_OUT) == []
    assert sorted(name for name in filtered if BY_NAME[name].index is None) == []


FIELD = {
    "name": "colour",
    "type": ValueType.KEYWORD,
    "meaning": "`red`",
    "on": SEGMENTS,
    "describes": Subject.WINDOW,
}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "Colour"}, "no name"),
        ({"meaning": ""}, "a meaning"),
        ({"meaning": "red | green"}, "a meaning"),
        ({"only_where": "red | green"}, "a meaning"),
        ({"on": frozenset()}, "on no point"),
        ({"on": BOTH}, "an anchor has none"),
        ({"on": ANCHORS}, "an anchor has none"),
        ({"index": IndexKind.BOOL}, "fits no keyword"),
        ({"index": IndexKind.KEYWORD, "may_be_left_out": True}, "cannot be left out"),
        ({"type": ValueType.BOOL, "index": IndexKind.BOOL, "prefixes": True}, "prefixes"),
        ({"verified": Verified.EVERY_POINT, "may_be_left_out": True}, "cannot be left out"),
        ({"describes": Subject.RUN}, "Parquet has nothing"),
        ({"type": ValueType.BOOL, "choices": ("red",)}, "choices"),
        ({"since": "next"}, "no version"),
    ],
)
def test_a_field_checks_itself(wrong: dict[str, Any], says: str) -> None:
    PayloadField(**FIELD)
    with pytest.raises(ValueError, match=says):
        PayloadField(**FIELD | wrong)


def test_a_name_stands_once_in_the_table() -> None:
    with pytest.raises(ValueError, match="colour is in the table twice"):
        _each_once([PayloadField(**FIELD), PayloadField(**FIELD)])
