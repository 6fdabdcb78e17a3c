"""Settings: one typed model a part, from a file, the environment and flags, checked at the start.

Later wins: defaults < `sensedex.toml` < environment (`SENSEDEX_SOURCE__BUCKET=...`) < flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.renamed_settings import with_new_fields
from pipeline.settings_fields import MEDIA_SUFFIXES, SIDECAR_SUFFIXES, OptionalField, PlainUrl
from pipeline.settings_sources import read_sources


class _Part(BaseModel):
    # What was given is not repeated in an error: it may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SourceSettings(_Part):
    """The media, in a bucket or in a folder. Credentials come from the usual AWS chain."""

    bucket: str = Field("", description="name of the bucket")
    folder: Path | None = Field(None, description="a folder on disk, in place of a bucket")
    folder_etag: Literal["stat", "digest"] = Field(
        "stat",
        description="a file is another by its size, time and inode (stat), or by its content "
        "(digest: every file is read for every plan)",
    )
    prefix: str = Field("", description="only keys that begin with this")
    endpoint_url: PlainUrl = Field(None, description="any S3-compatible endpoint; empty for AWS")
    region: str | None = Field(None, description="region; empty for the AWS chain's own")
    profile: str | None = Field(None, description="a profile of the AWS configuration")
    suffixes: tuple[str, ...] = Field(
        tuple(MEDIA_SUFFIXES), description="only keys that end so (case does not matter)"
    )
    sidecar_suffixes: tuple[str, ...] = Field(
        SIDECAR_SUFFIXES, description="text beside a media object of the same stem"
    )
    min_size_bytes: int = Field(0, ge=0, description="smaller objects are left out")
    max_size_bytes: int = Field(50 * 2**30, gt=0, description="larger objects are left out")
    storage_classes: tuple[str, ...] = Field(
        ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY",
         "GLACIER_IR", "EXPRESS_ONEZONE"),
        description="classes that a GET can read at once; others end as `archived`",
    )  # fmt: skip

    @property
    def name(self) -> str:
        """Of the bucket, or the folder's absolute path: what its objects have as `bucket`."""
        return self.bucket if self.folder is None else self.folder.expanduser().resolve().as_posix()

    @model_validator(mode="after")
    def _one_place(self) -> SourceSettings:
        if self.bucket and self.folder is not None:
            raise ValueError("source.bucket and source.folder: name one of them")
        return self


class DecodeSettings(_Part):
    """How time is cut, and the limits that hostile media runs into."""

    window_ms: int = Field(2000, ge=100, le=60_000, description="length of a window")
    frames_per_window: int = Field(2, ge=1, le=8, description="frames taken from each window")
    decoder: Literal["auto", "pyav", "ffmpeg"] = Field(
        "auto", description="pyav drops what no sample needs; ffmpeg reads any format"
    )
    ffmpeg_path: Path | None = Field(None, description="ffmpeg to use instead of the one found")
    max_pixels: int = Field(100_000_000, gt=0, description="of one frame or picture")
    max_streams: int = Field(64, gt=0, description="streams in one container")
    max_duration_s: int = Field(36 * 3600, gt=0, description="longer media is cut there: partial")
    max_segments: int = Field(100_000, gt=0, description="media of more windows is cut: partial")
    max_wall_s: int = Field(1800, gt=0, description="wall time of the decoder for one object")
    max_cpu_s: int = Field(3600, gt=0, description="CPU time of the decoder for one object")
    cpu_grace_s: float = Field(15, gt=0, description="of that, what any object may take")
    cpu_s_per_mb: float = Field(5, ge=0, description="and more for each megabyte of the object")
    cpu_s_per_media_s: float = Field(
        0.5, ge=0, description="and more for each second of media that came out of it"
    )
    max_memory_mb: int = Field(512, ge=256, description="memory of the decoder's child")
    processes: int = Field(1, ge=1, description="decode actors (one CPU each)")


class EncoderChoice(_Part):
    """An encoder and its weights."""

    encoder: str = Field(description="a name that `sensedex doctor` lists")
    weights: str | None = Field(None, description="as encode.weights")
    weights_sha256: str = Field("", description="as encode.weights_sha256")


class EncodeSettings(_Part):
    """Which encoders, with which weights, on what."""

    encoder: str = Field("sensedex-mini", description="a name that `sensedex doctor` lists")
    weights: str | None = Field(
        None, description="checkpoint (.pth, .safetensors) or model's folder; a path or s3://"
    )
    weights_sha256: str = Field("", description="digest that it must have; needed for s3://")
    additional: tuple[EncoderChoice, ...] = Field(
        (),
        description="more encoders, whose vectors stand beside: "
        '[{encoder = "frozen-in-time", weights = "4f.pth.tar"}]',
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto", description="of the arithmetic"
    )
    batch_size: int = Field(32, ge=1, le=4096, description="windows a batch, over all objects")
    seed: int = Field(0, description="of the demo encoder's weights")
    processes: int = Field(1, ge=1, description="encode actors (one GPU or one CPU each)")

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("encode", fields)

    def chosen(self) -> tuple[EncoderChoice, ...]:
        """Every encoder of the run, the first one first."""
        first = EncoderChoice(
            encoder=self.encoder, weights=self.weights, weights_sha256=self.weights_sha256
        )
        return (first, *self.additional)


class EmbedSettings(_Part):
    """Where decoding and encoding are done."""

    engine: Literal["auto", "ray", "loop"] = Field(
        "auto", description="loop: in this process; auto: loop for a run of little, else ray"
    )
    ray_from_objects: int = Field(
        1200, ge=1, description="auto starts Ray for so many objects to embed, or for"
    )
    ray_from_mb: int = Field(256, ge=1, description="so many megabytes; RAY_ADDRESS always does")


class TagSettings(_Part):
    """Words that every window is compared with; what fits becomes its tags.

    The serialization aliases are the names that a recipe was always written with: its digest says
    what has to be embedded again.
    """

    labels: tuple[str, ...] = Field((), description="words to look for; none, no tags")
    templates: tuple[str, ...] = Field(
        ("{}", "a photo of a {}.", "the sound of a {}."),
        description="a label's vector is the mean over these",
    )
    scale: float = Field(100.0, gt=0, description="of the cosines, before the softmax over labels")
    min_score: float = Field(
        0.2,
        gt=0,
        le=1,
        serialization_alias="at_least",
        description="share of the softmax that a tag needs",
    )
    max_tags: int = Field(
        5, ge=1, serialization_alias="most", description="tags of a window, the best ones"
    )

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("tags", fields)


class IndexSettings(_Part):
    """The Qdrant collection: a server by `url`, or a folder by `path` (local mode)."""

    url: PlainUrl = Field(None, description="of a Qdrant server; empty for local mode")
    path: Path = Field(Path(".sensedex/qdrant"), description="folder of the local mode")
    api_key: SecretStr | None = Field(None, description="better given as SENSEDEX_INDEX__API_KEY")
    prefer_grpc: bool = Field(True, description="gRPC to a server")
    collection: str = Field("media", pattern=r"^[A-Za-z0-9_-]{1,200}$", description="public name")
    upsert_points: int = Field(128, ge=1, le=4096, description="points a request")
    timeout_s: int = Field(60, gt=0, description="of a request")
    distance: Literal["cosine", "dot"] = Field(
        "cosine", description="of a new collection; vectors have unit length, so scores are equal"
    )
    quantization: Literal["none", "int8", "binary"] = Field(
        "none", description="of a new collection, on a server; `sensedex rebuild` changes it"
    )
    oversampling: float = Field(
        2.0, ge=1, le=100, description="times as many quantised candidates are scored in full"
    )
    hnsw_m: int = Field(16, ge=4, le=256, description="links a point in a new collection's graph")
    hnsw_ef_construct: int = Field(100, ge=4, le=4096, description="candidates while it is built")
    hnsw_ef: int | None = Field(
        None, ge=1, description="candidates that a search looks at; empty for the server's own"
    )
    shards: int | None = Field(None, ge=1, description="of a new collection, on a cluster")
    replicas: int | None = Field(None, ge=1, description="of each shard")
    on_disk: bool | None = Field(None, description="a new collection's vectors are left on disk")
    payload_exclude: tuple[OptionalField, ...] = Field(
        (), description="payload fields that are not stored; those that search needs cannot be"
    )

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("index", fields)


class SearchSettings(_Part):
    """Proof that search works, in the report of every run that changed something."""

    queries: Path | None = Field(
        None, description="labelled searches (queries.jsonl, see docs/cli.md); none, no figures"
    )


class StateSettings(_Part):
    """What each object was last time, the plans, the embeddings and the receipts."""

    location: str = Field(".sensedex/state", description="a folder, or s3://bucket/prefix")
    shard_objects: int = Field(256, ge=1, description="objects a shard, at most")
    shard_mb: int = Field(2048, ge=1, description="megabytes of media a shard, at most")
    lease_ttl_s: int = Field(120, ge=5, description="a lease that is not renewed ends after this")
    max_removed_share: float = Field(
        0.2, ge=0, le=1, description="a plan that removes a larger share stops"
    )
    max_denied_share: float = Field(
        0.05, ge=0, le=1, description="a run that may not read a larger share of the listed stops"
    )


class Settings(BaseSettings):
    """All parts. `load_settings` is the way to make one: it names the field that is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="SENSEDEX_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    source: SourceSettings = SourceSettings()
    decode: DecodeSettings = DecodeSettings()
    encode: EncodeSettings = EncodeSettings()
    embed: EmbedSettings = EmbedSettings()
    tags: TagSettings = TagSettings()
    index: IndexSettings = IndexSettings()
    search: SearchSettings = SearchSettings()
    state: StateSettings = StateSettings()

    @model_validator(mode="after")
    def _frames_fit_the_window(self) -> Settings:
        if self.decode.window_ms // self.decode.frames_per_window < 20:
            raise ValueError("decode.frames_per_window: more than one frame every 20 ms")
        return self


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; `overrides` has dotted names, as in `{"source.bucket": "films"}`, and text
    or values.

    Raises SettingsError that names the field.
    """
    if file is not None and not file.is_file():
        raise SettingsError(
            f"There is no settings file {file}.", remedy="`sensedex init` writes one."
        )
    return Settings.model_construct(**read_sources(Settings, file, overrides or {}))
