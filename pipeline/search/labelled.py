"""A labelled list of searches: queries, and every answer that is right.

A line of `queries.jsonl` is one query and every answer that is right:

    {"query": "a cow", "modality": "text",
     "expected": [{"key": "videos/farm.mp4", "start_ms": 0, "end_ms": 5000}]}

`modality` is text, vision, audio or video; but for text, `query` is a file, relative to the list.
`media_type`, which may be left out, is the only type of media that may answer: image, video or
audio.
Without times any moment of the asset is right; with them, a moment whose start and end each lie
within one window of the expected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.records import MediaType
from pipeline.search.request import SearchRequest, asked

KINDS = {"text": "words", "vision": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class Expected:
    """An answer that is right; a span is given whole or not at all."""

    key: str
    start_ms: int | None = None
    end_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.start_ms is None) != (self.end_ms is None):
            raise ValueError("start_ms and end_ms are given together")


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """One line of the list, with what it asks."""

    query: str
    modality: str
    request: SearchRequest
    expected: tuple[Expected, ...]


def read_queries(path: Path, using: tuple[str, ...] = ()) -> list[LabelledQuery]:
    """Raises SettingsError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", remedy="Give JSON lines.") from error
    queries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                queries.append(_query(json.loads(line), path.parent, using))
            except (ValueError, KeyError, TypeError) as error:
                raise SettingsError(
                    f"{path}, line {number}: {type(error).__name__}: {error}",
                    remedy="A line has query, modality and expected.",
                ) from error
    if not queries:
        raise SettingsError(f"{path} has no query.", remedy="Give one a line.")
    return queries


def _query(row: dict[str, Any], folder: Path, using: tuple[str, ...]) -> LabelledQuery:
    modality, query = row["modality"], str(row["query"])
    if modality not in KINDS:
        raise ValueError(f"modality is {modality!r}, not one of {', '.join(KINDS)}")
    expected = tuple(Expected(**answer) for answer in row["expected"])
    if not expected:
        raise ValueError("expected is empty")
    value: str | Path = query if modality == "text" else folder / query
    named = row.get("media_type", row.get("among"))  # `among` is its old name, read until 0.2
    media_type = MediaType(named) if named else None
    request = asked(**{KINDS[modality]: value}, using=using, media_type=media_type)  # type: ignore[arg-type]
    return LabelledQuery(query, modality, request, expected)
