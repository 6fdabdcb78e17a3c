"""The JSON that the API answers with, as models: OpenAPI is made from them, and docs/serve.md
explains them. What is asked is a `SearchRequest`, in the JSON of docs/query.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A part of an answer. A field more may come with a later version."""

    model_config = ConfigDict(frozen=True)


class Why(Answer):
    """One question with one vector of the moment's best window."""

    asked: str = Field(description="The question in words: `a dog - people`.")
    vector_name: str
    cosine: float
    share: float | None = Field(
        description="Share of the collection that scores lower; null before `sensedex calibrate`."
    )


class Moment(Answer):
    """A stretch of an asset that answers a search."""

    asset_id: str
    key: str
    uri: str
    media_type: str = Field(description="`image`, `audio` or `video`.")
    start_ms: int
    end_ms: int = Field(description="Exclusive. A still has 0 and 0.")
    best_ms: int = Field(description="The middle of the best window: where to look.")
    score: float = Field(description="What orders the list; see `ranking` of the answer.")
    share: float | None
    cosine: float
    vector_name: str = Field(description="Of the highest cosine; `words` where words alone did.")
    scores: dict[str, float] = Field(description="The highest cosine by vector.")
    why: list[Why]
    words: list[str]
    copies: int
    copy_keys: list[str]
    point_id: str
    stale: str | None = Field(
        description="Why it cannot be played: `object_gone`, `object_changed`, `denied`, ...; null "
        "where it can, or was not looked at."
    )
    media_url: str | None = Field(description="Where it plays; null where it would not.")
    poster_url: str | None = Field(
        description="A picture of `best_ms`; null for sound, and where it cannot be played."
    )
    asset_url: str
    payload: dict[str, Any] = Field(description="Of the best window's point (docs/metadata.md).")


class Found(Answer):
    """A page of moments."""

    moments: list[Moment]
    cursor: str = Field(description="Of the next page: the same request with it. Empty on the last")
    ranking: str
    notes: list[str] = Field(description="Sentences for a person.")
    uploads: dict[str, str] = Field(
        description="By the name of its part, a value that stands for what was uploaded, in terms "
        "of later requests."
    )
    took_ms: float


class Asset(Answer):
    """An object of the source, as it was indexed."""

    asset_id: str
    key: str
    uri: str
    media_type: str
    mime: str
    size_bytes: int
    last_modified: str
    duration_ms: int
    segments: int
    status: str
    stale: str | None
    media_url: str | None
    poster_url: str | None
    segments_url: str
    similar_url: str
    payload: dict[str, Any] = Field(description="Of the asset's own point (docs/metadata.md).")


class SegmentFacts(Answer):
    """A window of an asset."""

    point_id: str
    segment_index: int
    start_ms: int
    end_ms: int
    has_vision: bool
    has_audio: bool
    has_text: bool
    text: str
    tags: list[str]
    scores: dict[str, float] | None = Field(
        description="The cosine by vector, of the search that was sent; null where none was."
    )
    poster_url: str | None
    payload: dict[str, Any]


class Segments(Answer):
    """The windows of an asset, in the order of time."""

    asset_id: str
    segments: list[SegmentFacts]
    total: int
    cursor: str = Field(description="Of the next page; empty on the last.")


class FacetValue(Answer):
    """A value of a field, and how many windows have it."""

    value: str | bool
    count: int


class Facet(Answer):
    """The commonest values of a field."""

    field: str
    values: list[FacetValue]


class FieldRange(Answer):
    """The least and the most of a field; null where no window has it."""

    field: str
    least: int | str | None
    most: int | str | None


class Facets(Answer):
    """What a collection can be narrowed by, and how many windows that leaves."""

    segments: int
    facets: list[Facet]
    ranges: list[FieldRange]


class VectorFacts(Answer):
    """A vector of the collection."""

    name: str
    modality: str


class FilterFacts(Answer):
    """A field that conditions may name."""

    field: str
    kind: str = Field(description="`keyword`, `bool`, `integer` or `datetime`.")
    prefixes: bool
    choices: list[str]


class Limits(Answer):
    """What one request may take."""

    upload_bytes: int
    upload_pixels: int
    upload_s: float
    uploads_at_once: int
    terms: int
    moments: int


class About(Answer):
    """What is served."""

    version: str
    collection: str
    encoder: str
    meaningful: bool = Field(description="False where the encoder's answers mean nothing.")
    segments: int
    calibrated: bool
    vectors: list[VectorFacts]
    filters: list[FilterFacts]
    media: str = Field(description="`proxy` or `redirect`.")
    limits: Limits


class RunFacts(Answer):
    """A run, by its report."""

    run_id: str
    sequence: int
    started_at: str
    wall_seconds: float
    encoder: str
    objects_by_status: dict[str, int]
    objects_by_action: dict[str, int]
    segments: int
    media_seconds: float
    points_in_index: int | None
    failures: int


class Runs(Answer):
    """The runs that have a report, the newest first, and the one at work."""

    runs: list[RunFacts]
    running: dict[str, Any] | None = Field(description="As `sensedex status --json` has it.")


class Health(Answer):
    """Of the process."""

    status: str


class Readiness(Answer):
    """Of what it needs."""

    status: str
    checks: dict[str, str] = Field(description="`ok`, or the code of what is wrong.")


class Problem(Answer):
    """A problem document (RFC 9457)."""

    type: str = Field(description="`urn:sensedex:problem:` and the code.")
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    request_id: str
