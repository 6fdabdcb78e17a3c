"""Settings: one typed model for each part, checked at the start.

They come from a file, the environment and flags; those of decoding and encoding are in
`pipeline.settings_embedding`.

Later wins: defaults < `sensedex.toml` < environment (`SENSEDEX_SOURCE__BUCKET=...`) < flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.renamed_settings import with_new_fields
from pipeline.settings_embedding import DecodeSettings, EmbedSettings, EncodeSettings, TagSettings
from pipeline.settings_fields import (
    MEDIA_SUFFIXES,
    SIDECAR_SUFFIXES,
    OptionalField,
    PlainUrl,
    SettingsPart,
)
from pipeline.settings_qdrant import QdrantSettings
from pipeline.settings_sources import read_sources


class SourceSettings(SettingsPart):
    """The media, in a bucket or in a folder. Credentials come from the usual AWS chain."""

    bucket: str = Field("", description="Name of the bucket, as in films.")
    folder: Path | None = Field(
        None, description="A folder on disk in place of a bucket, as in ./videos."
    )
    folder_etag: Literal["stat", "digest"] = Field(
        "stat",
        description="How a file of a folder is known to have changed: by its size, time and "
        "inode (stat), or by its content (digest), for which every file is read for every plan.",
    )
    prefix: str = Field(
        "", description="Only keys that begin with this, as in 2026/; empty for all."
    )
    endpoint_url: PlainUrl = Field(
        None,
        description="Address of an S3-compatible server, as in http://localhost:8333; empty for "
        "AWS.",
    )
    region: str | None = Field(
        None, description="Region of the bucket, as in eu-central-1; empty for the AWS chain's own."
    )
    profile: str | None = Field(
        None, description="A profile of the AWS configuration; empty for the chain's own."
    )
    suffixes: tuple[str, ...] = Field(
        tuple(MEDIA_SUFFIXES),
        description="Only keys that end with one of these, in upper or lower case. What a file "
        "is, its content says.",
    )
    sidecar_suffixes: tuple[str, ...] = Field(
        SIDECAR_SUFFIXES,
        description="Text files that belong to the media object of the same stem: film.srt to "
        "film.mp4.",
    )
    min_size_bytes: int = Field(
        0, ge=0, description="Objects of fewer bytes are left out; 0 leaves out none."
    )
    max_size_bytes: int = Field(
        50 * 2**30, gt=0, description="Objects of more bytes are left out; 53687091200 is 50 GiB."
    )
    storage_classes: tuple[str, ...] = Field(
        ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY",
         "GLACIER_IR", "EXPRESS_ONEZONE"),
        description="Storage classes that a GET can read at once; objects of others end as "
        "archived.",
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


class IndexSettings(QdrantSettings):
    """The Qdrant collection: a server by `url`, or a folder by `path` (local mode); what a new one
    is made with, and how it is filled and searched."""

    collection: str = Field(
        "media",
        pattern=r"^[A-Za-z0-9_-]{1,200}$",
        description="Public name of the collection, which readers use; it is an alias in Qdrant.",
    )
    upsert_points: int = Field(
        128,
        ge=1,
        le=4096,
        description="Points in a request that writes; fewer where they make a megabyte.",
    )
    upserts_at_once: int = Field(
        2, ge=1, le=16, description="Requests that write on their way to a server at once."
    )
    anchor_vectors: bool = Field(
        False,
        description="Whether an asset's own point has the mean of its segments' vectors, to find "
        "assets by; a still's vectors are stored twice then.",
    )
    distance: Literal["cosine", "dot"] = Field(
        "cosine",
        description="Distance of a new collection. Vectors have unit length, so both give the "
        "same scores.",
    )
    datatype: Literal["float32", "float16"] = Field(
        "float32",
        description="How a new collection on a server keeps the vectors; float16 takes half the "
        "room.",
    )
    quantization: Literal["none", "int8", "binary", "product", "turbo"] = Field(
        "none",
        description="Quantization of a new collection on a server (turbo from Qdrant 1.18 on); "
        "`sensedex rebuild` changes it, where recall stays.",
    )
    oversampling: float | None = Field(
        None,
        ge=1,
        le=100,
        description="How many times as many quantized candidates are scored in full: finds more, "
        "takes longer. Empty for what fits: int8 and turbo 2, product 8, binary 16.",
    )
    hnsw_m: int = Field(
        16,
        ge=4,
        le=256,
        description="Links of a point in a new collection's graph; 16 is Qdrant's own default.",
    )
    hnsw_ef_construct: int = Field(
        100,
        ge=4,
        le=4096,
        description="Candidates looked at while the graph is built; 100 is Qdrant's own default.",
    )
    hnsw_ef: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Candidates that a search looks at, as in 128; empty for the server's own.",
    )
    shards: int | None = Field(
        None,
        ge=1,
        description="Shards of a new collection on a cluster; empty for the server's own.",
    )
    replicas: int | None = Field(
        None, ge=1, description="Copies of each shard on a cluster; empty for the server's own."
    )
    on_disk: bool | None = Field(
        None,
        description="Whether a new collection's vectors lie on disk; empty for the server's own.",
    )
    on_disk_payload: bool | None = Field(
        None,
        description="Whether a new collection's payload lies on disk; empty for the server's own.",
    )
    on_disk_payload_indexes: bool | None = Field(
        None,
        description="Whether a new collection's payload indexes lie on disk: less memory, slower "
        "filters; empty for the server's own.",
    )
    write_consistency: int | None = Field(
        None,
        ge=1,
        description="Copies of a new collection on a cluster that must have taken a write before "
        "it counts; empty for the server's own.",
    )
    strict_mode: bool = Field(
        True,
        description="Whether a new collection on a server has limits against requests that would "
        "hold up all others (docs/strict-mode.md); false for the server's own.",
    )
    payload_exclude: tuple[OptionalField, ...] = Field(
        (),
        description='Payload fields that are not stored, as in ["fps"]; those that search needs '
        "cannot be named.",
    )

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("index", fields)

    @field_validator("datatype", mode="before")
    @classmethod
    def _of_use(cls, datatype: Any) -> Any:
        if datatype == "uint8":
            raise ValueError(
                "uint8 is of no use for unit vectors: it keeps whole numbers from 0 to 255, and "
                "theirs lie between -1 and 1; index.quantization=int8 is what takes a byte each"
            )
        return datatype


class SearchSettings(SettingsPart):
    """Proof that search works, in the report of every run that changed something."""

    queries: Path | None = Field(
        None,
        description="A file of labelled searches, queries.jsonl (docs/cli.md); empty for no "
        "figures.",
    )
    recall_queries: int = Field(
        50,
        ge=0,
        le=10_000,
        description="Stored vectors of each name that a server is asked with, as configured and "
        "exactly, for the recall of its index; 0 for no figures.",
    )
    recall_seconds: float = Field(
        5.0, gt=0, le=3600, description="Seconds that this may take at the end of a run."
    )


class StateSettings(SettingsPart):
    """What each object was last time, the plans, the embeddings and the receipts."""

    location: str = Field(
        ".sensedex/state",
        description="A folder, or s3://bucket/prefix, which several machines see.",
    )
    shard_objects: int = Field(
        256,
        ge=1,
        description="Objects in a shard, at most. A shard is committed as a whole: what a killed "
        "run loses is one of them.",
    )
    shard_mb: int = Field(2048, ge=1, description="Megabytes of media in a shard, at most.")
    lease_ttl_s: int = Field(
        120, ge=5, description="Seconds after which a lease that is not renewed is free."
    )
    max_removed_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the objects, from 0 to 1, that a run may remove; a plan for more "
        "stops, since a mistyped prefix would empty the index.",
    )
    max_denied_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the listed objects, from 0 to 1, that a run may be denied to read; "
        "beyond it the run stops, since a policy may be wrong.",
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
