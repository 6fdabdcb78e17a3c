"""Settings: one typed model for each part, checked at the start.

They come from a file, the environment and flags; those of decoding and encoding are in
`pipeline.settings_embedding`, those of Qdrant in `pipeline.settings_index`, those of events in
`pipeline.settings_events`, those of metrics and traces in `pipeline.settings_metrics`, prices in
`pipeline.settings_prices`, those of the HTTP API in `pipeline.settings_serve`.

Later wins: defaults < `sensedex.toml` < environment (`SENSEDEX_SOURCE__BUCKET=...`) < flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.places import GOOGLE_ENDPOINT, Scope, scopes_of
from pipeline.settings_embedding import DecodeSettings, EmbedSettings, EncodeSettings, TagSettings
from pipeline.settings_events import EventSettings
from pipeline.settings_fields import (
    MEDIA_SUFFIXES,
    SIDECAR_SUFFIXES,
    PlainUrl,
    SettingsPart,
)
from pipeline.settings_index import IndexSettings
from pipeline.settings_metrics import MetricsSettings
from pipeline.settings_prices import PriceSettings
from pipeline.settings_serve import ServeSettings
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
    places: tuple[str, ...] = Field(
        (),
        description="In place of bucket and prefix, several of them: s3://films/2026/, "
        "s3://clips. All at one endpoint.",
    )
    include: tuple[str, ...] = Field(
        (),
        description="Only media whose keys one of these means, as in **/*.mp4 or 2026/**; * stays "
        "in a folder. Empty for all.",
    )
    exclude: tuple[str, ...] = Field(
        (), description="No keys that one of these means, as in **/drafts/**; also no sidecars."
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
    manifest: str | None = Field(
        None,
        description="A file that names the objects, in place of a listing: CSV, JSON Lines or "
        "Parquet with a uri, here or at s3://bucket/key (docs/sources.md).",
    )
    manifest_is_whole: bool = Field(
        False,
        description="What the manifest does not name leaves the index; else it is kept.",
    )
    inventory: str | None = Field(
        None,
        description="An S3 Inventory of the bucket, in place of listing it: s3://.../manifest.json "
        "or the folder of its inventories, of which the newest counts (docs/sources.md).",
    )
    inventory_folder: Path = Field(
        Path(".sensedex/inventory"),
        description="Where an inventory is kept sorted, so that a plan that was stopped goes on: "
        "about 100 bytes a key.",
    )
    object_tags: tuple[str, ...] = Field(
        (),
        description="Tags of the objects that go to the payload, as in project; * for all of them. "
        "A request more for each object that is embedded.",
    )
    requester_pays: bool = Field(
        False, description="Agree to pay for requests and traffic of a bucket that asks for it."
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
        """Of the first bucket, or the folder's absolute path: what its objects have as `bucket`.
        Empty where nothing is named. Raises SettingsError."""
        if self.folder is not None:
            return self.folder.expanduser().resolve().as_posix()
        return self.buckets[0] if self.buckets else self.manifest_title

    @property
    def title(self) -> str:
        """All of them, for people."""
        return ", ".join(self.buckets) or self.manifest_title

    @property
    def manifest_title(self) -> str:
        return f"manifest {self.manifest}" if self.manifest else ""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What is listed, in the order of buckets and prefixes. Raises SettingsError."""
        if self.folder is not None:
            return (Scope(self.name, self.prefix),)
        if not self.places:
            return (Scope(self.bucket, self.prefix),) if self.bucket else ()
        try:
            return scopes_of(self.places)
        except ValueError as error:
            raise SettingsError(
                f"Setting source.places: {error}.",
                remedy='Write places as in ["s3://films/2026/", "s3://clips"].',
            ) from error

    @property
    def buckets(self) -> tuple[str, ...]:
        """Each once, in their order. Raises SettingsError."""
        return tuple(dict.fromkeys(scope.bucket for scope in self.scopes))

    @property
    def endpoint(self) -> str | None:
        """`endpoint_url`, or Google's where a place is `gs://`; None for AWS."""
        of_google = any(place.startswith("gs://") for place in self.places)
        return self.endpoint_url or (GOOGLE_ENDPOINT if of_google else None)

    def covers(self, bucket: str, key: str) -> bool:
        """Whether an object is of these places. Raises SettingsError."""
        return any(scope.covers(Scope(bucket, key)) for scope in self.scopes)

    @model_validator(mode="after")
    def _one_place(self) -> SourceSettings:
        if self.bucket and self.folder is not None:
            raise ValueError("source.bucket and source.folder: name one of them")
        if self.places and (self.bucket or self.folder is not None):
            raise ValueError("source.places stands in place of source.bucket and source.folder")
        if self.places and self.prefix:
            raise ValueError("source.prefix: a place has its own, as in s3://films/2026/")
        if self.manifest and self.folder is not None:
            raise ValueError("source.manifest names objects of buckets, not of source.folder")
        if self.inventory and (self.manifest or self.folder is not None):
            raise ValueError("source.inventory is of a bucket: no source.manifest, no folder")
        return self


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
    calibration_vectors: int = Field(
        1_000,
        ge=0,
        le=100_000,
        description="Stored vectors of each name by which cosines are made comparable, after a run "
        "that changed a fifth of the collection; 0 leaves it to `sensedex calibrate`.",
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
    superseded_hours: int = Field(
        24,
        ge=0,
        description="Hours that embeddings which nothing refers to any more stay, once a sweep has "
        "found them; longer than a rebuild takes.",
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
    events: EventSettings = EventSettings()
    prices: PriceSettings = PriceSettings()
    metrics: MetricsSettings = MetricsSettings()
    serve: ServeSettings = ServeSettings()

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
