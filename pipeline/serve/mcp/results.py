"""Results of the tools: the models of the HTTP API less its addresses, which nobody can open here,
and with what a moment says, so that an agent need not look it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, create_model

from pipeline.serve import answers

# An address is of a server of HTTP; a payload is long, and what of it is read has its own field.
OF_HTTP = ("media_url", "poster_url", "asset_url", "segments_url", "similar_url", "uploads")
OF_POINTS = ("payload", "point_id", "scores")


class _Said(answers.Answer):
    text: str = Field(description="Subtitles or words of a file beside it; empty for none.")
    tags: list[str] = Field(description="Names that the encoder gave to what is seen or heard.")


def _of(
    name: str, doc: str, model: type[BaseModel], left_out: tuple[str, ...], **fields: Any
) -> type[BaseModel]:
    """The model's fields, with their descriptions, less some and with others in their place."""
    base = fields.pop("base", answers.Answer)
    kept = {
        field: (info.annotation, info)
        for field, info in model.model_fields.items()
        if field not in left_out
    }
    return create_model(name, __base__=base, __doc__=doc, **{**kept, **fields})


MomentFound = _of(
    "MomentFound",
    "A stretch of an asset that answers a search. Times are milliseconds from its beginning.",
    answers.Moment,
    (*OF_HTTP, "payload", "point_id"),
    base=_Said,
)
MomentsFound = _of(
    "MomentsFound",
    "A page of moments, the best first.",
    answers.Found,
    OF_HTTP,
    moments=(list[MomentFound], ...),  # type: ignore[valid-type]
)
WindowFound = _of(
    "WindowFound",
    "A window of an asset, the unit that is indexed. A still has one, from 0 to 0.",
    answers.SegmentFacts,
    (*OF_HTTP, *OF_POINTS),
)
AssetFound = _of(
    "AssetFound",
    "An object of the bucket as it was indexed, and its windows in the order of time.",
    answers.Asset,
    OF_HTTP,
    windows=(list[WindowFound], ...),  # type: ignore[valid-type]
    cursor=(str, Field(description="Of the next windows; empty on the last page.")),
)


def moments_found(found: Mapping[str, Any]) -> dict[str, Any]:
    """`MomentsFound`, of the API's `Found`."""
    moments = [{**moment, **_said(moment["payload"])} for moment in found["moments"]]
    return _kept(MomentsFound, {**found, "moments": moments})


def asset_found(asset: Mapping[str, Any], segments: Mapping[str, Any] | None) -> dict[str, Any]:
    """`AssetFound`, of the API's `Asset` and `Segments`."""
    windows = {"segments": [], "cursor": ""} if segments is None else segments
    return _kept(AssetFound, {**asset, "windows": windows["segments"], "cursor": windows["cursor"]})


def _said(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": payload.get("text") or "", "tags": list(payload.get("tags") or ())}


def _kept(model: type[BaseModel], value: Mapping[str, Any]) -> dict[str, Any]:
    return model.model_validate(value).model_dump(mode="json")
