"""Parts of the OpenAPI description that no signature says: bodies, examples, answers without JSON.

Each example is sent by tests/serve/test_description.py as it stands here.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from pipeline.search.request import SearchRequest
from pipeline.serve.answers import Problem
from pipeline.serve.problems import CONTENT_TYPE

REFS = "#/components/schemas/{model}"
EXAMPLES: dict[str, dict[str, Any]] = {
    "words": {"terms": [{"kind": "words", "value": "a beach"}]},
    "plus_and_minus": {
        "terms": [
            {"kind": "words", "value": "a dog"},
            {"kind": "words", "value": "snow", "weight": 0.5},
            {"kind": "words", "value": "people", "weight": -1.0},
        ],
        "limit": 5,
        "fold_above": 0.98,
    },
    "conditions": {
        "terms": [{"kind": "words", "value": "rain"}],
        "where": [
            {"field": "media_type", "any_of": ["video", "audio"]},
            {"field": "asset_duration_ms", "below": 600000},
            {"field": "last_modified", "at_least": "2020-01-01"},
        ],
        "group": True,
    },
    "required": {
        "terms": [
            {"kind": "words", "value": "a dog barks", "required": True},
            {"kind": "words", "value": "rain", "required": True},
        ]
    },
}
FORM_EXAMPLE = {
    "request": json.dumps({"terms": [{"kind": "image", "value": "photo"}]}),
    "photo": "(the bytes of a picture)",
}

_JSON_BODY = {
    "application/json": {
        "schema": {"$ref": REFS.format(model="SearchRequest")},
        "examples": {name: {"value": value} for name, value in EXAMPLES.items()},
    }
}
_FORM_BODY = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["request"],
            "properties": {
                "request": {
                    "type": "string",
                    "description": "The JSON of a SearchRequest. The value of a term of kind "
                    "`image`, `sound` or `video` is the name of the part that has its file.",
                }
            },
            "additionalProperties": {"type": "string", "format": "binary"},
        },
        "examples": {"a_picture": {"value": FORM_EXAMPLE}},
    }
}
JSON_SEARCH = {"requestBody": {"required": True, "content": _JSON_BODY}}
SEARCH = {"requestBody": {"required": True, "content": {**_JSON_BODY, **_FORM_BODY}}}


def _bytes(kinds: tuple[str, ...], *statuses: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    told = {"200": "All of it.", "206": "A range.", "304": "It is what you have."}
    return {
        "responses": {
            status: {
                "description": told[status],
                **({} if status == "304" else {"content": content}),
            }
            for status in statuses
        }
    }


_SIGNED = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "In place of a key: the addresses in answers have it.",
    }
    for name in ("expires", "signature")
]
MEDIA = _bytes(("*/*",), "200", "206", "304")
MEDIA["responses"]["307"] = {"description": "Where serve.media is redirect: to the bucket."}
POSTER = _bytes(("image/webp", "image/jpeg"), "200")
for _described in (MEDIA, POSTER):
    _described["parameters"] = _SIGNED
METRICS = {
    "responses": {
        "200": {
            "description": "Figures.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    }
}


def describe(app: FastAPI) -> None:
    """Complete what FastAPI makes of the signatures: problems for every error, and the request."""
    made = app.openapi()
    schemas = made["components"]["schemas"]
    asked = TypeAdapter(SearchRequest).json_schema(ref_template=REFS)
    schemas.update(asked.pop("$defs", {}))
    schemas["SearchRequest"] = asked
    schemas["Problem"] = Problem.model_json_schema(ref_template=REFS)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = {
        "description": "A problem document (RFC 9457).",
        "content": {CONTENT_TYPE: {"schema": {"$ref": REFS.format(model="Problem")}}},
    }
    for operations in made["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
    made["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    made["security"] = [{}, {"bearer": []}, {"key": []}]
    # FastAPI would make it anew, and without this, once a route is added.
    app.openapi = lambda: made  # type: ignore[method-assign]
