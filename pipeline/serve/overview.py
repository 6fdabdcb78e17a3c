"""A collection as a whole: the values of its fields, and what is served of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.index.browsing import Browser
from pipeline.index.conditions import OF_READERS, Condition
from pipeline.payload_fields import IndexKind
from pipeline.search.request import MOST_MOMENTS, MOST_TERMS
from pipeline.search.searcher import Searcher
from pipeline.serve.problems import RequestRefused
from pipeline.settings import Settings

FACETS = ("media_type", "tags", "has_vision", "has_audio", "has_text")
RANGES = ("asset_duration_ms", "last_modified", "size_bytes")
COUNTED = (IndexKind.KEYWORD, IndexKind.BOOL)


def check_countable(fields: Sequence[str]) -> None:
    """Raises RequestRefused for a field whose values are not counted."""
    known = sorted(name for name, field in OF_READERS.items() if field.index in COUNTED)
    for field in fields:
        if field not in known:
            raise RequestRefused(
                f"field: the values of {field[:80]!r} cannot be counted.",
                remedy=f"Those of {', '.join(known)} can.",
            )


def counted(
    browser: Browser, fields: Sequence[str], where: Sequence[Condition], limit: int
) -> dict[str, Any]:
    """`answers.Facets`; a field that this collection has no index for is left out. Raises
    IndexUnavailable."""
    there = browser.indexed([*fields, *RANGES])
    counts = [browser.values(field, where, limit) for field in fields if field in there]
    return {
        "segments": browser.count(where),
        "facets": [
            {"field": c.field, "values": [{"value": v, "count": n} for v, n in c.values]}
            for c in counts
        ],
        "ranges": [
            {
                "field": field,
                "least": browser.extreme(field, where, most=False),
                "most": browser.extreme(field, where, most=True),
            }
            for field in RANGES
            if field in there
        ],
    }


def about(
    settings: Settings, searcher: Searcher, *, segments: int, calibrated: bool
) -> dict[str, Any]:
    """`answers.About`, without the version."""
    serve = settings.serve
    return {
        "collection": settings.index.collection,
        "encoder": searcher.card.name,
        "meaningful": searcher.card.meaningful,
        "segments": segments,
        "calibrated": calibrated,
        "vectors": [
            {"name": name, "modality": str(modality)}
            for name, modality in searcher.modality_of.items()
        ],
        "filters": [
            {
                "field": field.name,
                "kind": str(field.index),
                "prefixes": field.prefixes,
                "choices": list(field.choices),
            }
            for field in OF_READERS.values()
        ],
        "media": serve.media,
        "limits": {
            "upload_bytes": serve.upload_mb * 10**6,
            "upload_pixels": serve.upload_pixels,
            "upload_s": serve.upload_s,
            "uploads_at_once": serve.uploads_at_once,
            "terms": MOST_TERMS,
            "moments": MOST_MOMENTS,
        },
    }
