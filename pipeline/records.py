"""The records that travel through a run: frozen, checked where they are made, units in the names.

MediaObject -> PlanRow -> (MediaInfo, Segment, vectors) -> SegmentRow -> a point in Qdrant
                                                       `-> ObjectOutcome, one an object, always
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from encoders.modality import Modality
from pipeline.errors import SensedexError

# By which objects are joined with what is known of them, and in whose order everything goes: bucket
# and key. Strings compare by code point, which is the order of their UTF-8 bytes.
Place = tuple[str, str]


class MediaType(StrEnum):
    """The type of a media object, as its content says."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


class Status(StrEnum):
    """How an object ends a run; every listed object ends in exactly one of these."""

    INDEXED = "indexed"
    PARTIAL = "partial"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    DENIED = "denied"
    ARCHIVED = "archived"
    MOVED = "moved"
    REMOVED = "removed"
    FAILED = "failed"


class Action(StrEnum):
    """What a run is going to do about an object."""

    NEW = "new"
    CHANGED = "changed"
    RETRY = "retry"
    UNCHANGED = "unchanged"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class MediaObject:
    """One listed object. `bucket` is a bucket of S3, or the path of a folder, which begins with a
    slash; `last_modified` is ISO 8601 in UTC; `etag` is without quotes; `metadata` is a JSON object
    of what a manifest says of it, or empty."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: str
    storage_class: str = "STANDARD"
    version_id: str | None = None
    metadata: str = ""

    def __post_init__(self) -> None:
        if not self.bucket or not self.key:
            raise ValueError("an object needs a bucket and a key")
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes of {self.key!r} is {self.size_bytes}, below zero")

    @property
    def place(self) -> Place:
        return self.bucket, self.key

    @property
    def uri(self) -> str:
        if self.bucket.startswith("/"):  # no bucket of S3 is called so
            return Path(self.bucket, self.key).as_uri()
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class FetchedObject:
    """What a source says of an object beside its bytes. `metadata` is what its owner attached to
    it (S3: x-amz-meta-*, decoded), `tags` those of its tags that are wanted."""

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an object did not get through: a row, never only a log line."""

    stage: str
    code: str
    retryable: bool
    message: str
    remedy: str = ""

    @classmethod
    def of(cls, stage: str, error: SensedexError) -> Failure:
        return cls(stage, error.code, error.retryable, error.message, error.remedy)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the container says (`declared_ms`), before anything is decoded."""

    media_type: MediaType
    container: str
    declared_ms: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    rotation_degrees: int = 0

    def __post_init__(self) -> None:
        if self.declared_ms < 0 or self.width < 0 or self.height < 0:
            raise ValueError("durations and sizes of media are not negative")


@dataclass(frozen=True, slots=True)
class Segment:
    """One window of one asset: [start_ms, end_ms). A still image is [0, 0)."""

    index: int
    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.index < 0 or not 0 <= self.start_ms <= self.end_ms:
            raise ValueError(f"no such segment: {self.index} [{self.start_ms}, {self.end_ms})")


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What will be done about one object, and why. Sidecars travel with what they describe."""

    action: Action
    object: MediaObject
    asset_id: str
    generation: str
    reason: str
    sidecars: tuple[MediaObject, ...] = ()
    previous_generation: str | None = None
    shard: int = -1

    def __post_init__(self) -> None:
        if self.action in (Action.NEW, Action.CHANGED, Action.RETRY) and not self.generation:
            raise ValueError(f"{self.object.key!r} is to be embedded but has no generation")


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One point to be: a row of a shard's Parquet file.

    `vectors` maps a vector name to unit-length float32 values; `payload` is the point's whole
    payload but for `live`, `run_id` and `sequence`, which belong to the load.
    """

    point_id: str
    asset_id: str
    generation: str
    segment: Segment
    vectors: Mapping[str, Any]
    payload: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.vectors:
            raise ValueError(f"segment {self.segment.index} of {self.asset_id} has no vector")


@dataclass(frozen=True, slots=True)
class ObjectOutcome:
    """How one object left the graph; kept in the shard's receipt and, later, in the state. `bucket`
    is empty in receipts of times when a state had one bucket."""

    key: str
    asset_id: str
    generation: str
    etag: str
    version_id: str | None
    size_bytes: int
    status: Status
    media_type: MediaType | None = None
    segments: int = 0
    segments_by_modality: Mapping[str, int] = field(default_factory=dict)
    declared_ms: int = 0
    decoded_ms: int = 0
    failure: Failure | None = None
    sidecars: tuple[str, ...] = ()
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    bucket: str = ""

    def __post_init__(self) -> None:
        done = self.status in (Status.INDEXED, Status.PARTIAL)
        if done and self.segments == 0:
            raise ValueError(f"{self.key!r} is {self.status} without a segment")
        if not done and self.segments:
            raise ValueError(f"{self.key!r} is {self.status} but has {self.segments} segments")
        if self.status in (Status.REJECTED, Status.FAILED, Status.DENIED) and not self.failure:
            raise ValueError(f"{self.key!r} is {self.status} without a reason")


@dataclass(frozen=True, slots=True)
class ShardReceipt:
    """The promise that a shard's data is committed: which file, its digest, what is in it."""

    run_id: str
    sequence: int
    shard: int
    data_file: str | None
    data_sha256: str | None
    segments: int
    outcomes: tuple[ObjectOutcome, ...]


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """One named vector of the collection: its modality, dimension, and where it comes from."""

    vector_name: str
    modality: Modality
    dimension: int
    encoder: str
    fingerprint: str

    def __post_init__(self) -> None:
        if self.dimension <= 0:
            raise ValueError(f"vector {self.vector_name!r} has dimension {self.dimension}")
