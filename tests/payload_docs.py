"""Draws the payload's table of fields in docs/metadata.md, and docs/payload.schema.json.

python -m tests.payload_docs    rewrites both from pipeline/payload_schema.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from encoders.modality import Modality
from pipeline.payload_fields import FIRST_VERSION, PayloadField, PointKind, ValueType
from pipeline.payload_schema import FIELDS, fields_on

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT = DOCS / "metadata.md"
JSON_SCHEMA = DOCS / "payload.schema.json"
BEGIN, END = "<!-- fields, by `python -m tests.payload_docs` -->", "<!-- end of fields -->"

LETTERS = {PointKind.SEGMENT: "S", PointKind.ASSET: "A"}
SCORE = {
    "type": "object",
    "properties": {
        "sense": {"type": "string", "enum": [str(Modality.VISION), str(Modality.AUDIO)]},
        "label": {"type": "string"},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["sense", "label", "score"],
    "additionalProperties": False,
}
JSON_TYPES: dict[ValueType, dict[str, Any]] = {
    ValueType.KEYWORD: {"type": "string"},
    ValueType.TEXT: {"type": "string"},
    ValueType.BOOL: {"type": "boolean"},
    ValueType.INTEGER: {"type": "integer", "minimum": 0},
    ValueType.FLOAT: {"type": "number", "minimum": 0},
    ValueType.KEYWORDS: {"type": "array", "items": {"type": "string"}},
    ValueType.TEXT_BY_NAME: {"type": "object", "additionalProperties": {"type": "string"}},
    ValueType.VALUES_BY_NAME: {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    ValueType.TAG_SCORES: {"type": "array", "items": SCORE},
}


def draw(fields: Iterable[PayloadField]) -> str:
    """The fields as a Markdown table."""
    lines = [
        "| field | in | type | what, and an example | index | may be left out |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for field in fields:
        letters = " ".join(letter for kind, letter in LETTERS.items() if kind in field.on)
        kind = f"{field.type} or null" if field.nullable else str(field.type)
        what = field.meaning
        if field.only_where:
            what += f"; only where {field.only_where}"
        if field.since != FIRST_VERSION:
            what += f"; since {field.since}"
        index = str(field.index) if field.index else ""
        if not field.graph_links:
            index += ", no links"
        if field.prefixes:
            index += ", prefixes"
        out = "yes" if field.may_be_left_out else ""
        cells = (f"`{field.name}`", letters, kind, what, index, out)
        lines.append(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|")
    return "\n".join(lines)


def with_fields(document: str, drawn: str) -> str:
    """The document with the table between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawn}\n{END}{after}"


def json_schema() -> dict[str, Any]:
    """Of the payload of a point, in JSON Schema 2020-12. What a collection may do without, and what
    only some windows have, is not required; `x-index` and `x-since` check nothing."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The payload of a point of a sensedex collection",
        "description": "docs/metadata.md explains it.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in PointKind],
        "$defs": {str(kind): _of_kind(kind) for kind in PointKind},
    }


def _of_kind(kind: PointKind) -> dict[str, Any]:
    fields = fields_on(kind)
    required = [f.name for f in fields if not f.may_be_left_out and not f.only_where]
    return {
        "type": "object",
        "properties": {field.name: _of_field(field, kind) for field in fields},
        "required": required,
        "additionalProperties": False,
    }


def _of_field(field: PayloadField, kind: PointKind) -> dict[str, Any]:
    wanted: dict[str, Any] = dict(JSON_TYPES[field.type])
    if field.name == "kind":
        wanted["const"] = str(kind)
    elif field.choices:
        wanted["enum"] = list(field.choices)
    if field.nullable:
        wanted["type"] = [wanted["type"], "null"]
    wanted["description"] = field.meaning
    if field.only_where:
        wanted["description"] += f"; only where {field.only_where}"
    if field.index:
        wanted["x-index"] = str(field.index)
    return wanted | {"x-since": field.since}


def json_schema_text() -> str:
    """As it stands in the file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(with_fields(DOCUMENT.read_text(), draw(FIELDS)))
    JSON_SCHEMA.write_text(json_schema_text())
