"""docs/query.md: what it gives to plain clients runs as it stands, and what it lists is there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from pipeline import codec
from pipeline.index.conditions import parse_condition
from pipeline.index.vector_index import VectorIndex
from pipeline.search.moments import Moment
from pipeline.search.request import SearchRequest
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import load, unit


@pytest.fixture
def page(root_dir: Path) -> str:
    return (root_dir / "docs/query.md").read_text()


@only_stand_ins
def test_snippets_run(page: str, on_server: VectorIndex, served: Served, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("films/IMG_2041.mp4", "g", 8), ("b.mp4", "g", 8)])
    client = QdrantClient(url=served.settings.url, check_compatibility=False)
    names: dict[str, Any] = {"client": client, "vector": unit("words").tolist()}
    plain = page[page.index("## Plain clients") : page.index("## Over HTTP")]
    snippets = re.findall(r"```python\n(.*?)```", plain, flags=re.S)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(snippet, names)
    assert [len(answer.points) for answer in names["by_vector"]] == [10, 8]
    assert {key for key, _ in names["assets"]} == {"films/IMG_2041.mp4", "b.mp4"}
    assert names["named"] == []  # they are of January
    client.close()


def test_the_request_in_json_is_one(page: str) -> None:
    text = page[page.index('    {"terms"') : page.index("| field | what |")]
    request = codec.from_bytes(SearchRequest, text)
    assert request.group
    assert request.terms[3].required


def test_conditions_are_as_listed(page: str) -> None:
    part = page[page.index("## Conditions") : page.index("## The answer")]
    listed = re.findall(r"`([a-z_]+(?:[<>!^]?=|[<>])[^`]+)`", part)
    assert len(listed) >= 10
    for text in listed:
        parse_condition(text)


def test_every_field_is_explained(page: str) -> None:
    for record in (SearchRequest, Moment):
        for field in fields(record):
            if field.name not in ("asset_id", "uri", "key", "media_type"):  # of the payload
                assert f"`{field.name}`" in page, field.name
