"""Settings of the index: where Qdrant is, how it is spoken to, what a collection is made with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.renamed_settings import with_new_fields
from pipeline.settings_fields import OptionalField, PlainUrl, SettingsPart


class IndexSettings(SettingsPart):
    """The Qdrant collection: a server by `url`, or a folder by `path` (local mode); what a new one
    is made with, and how it is filled and searched."""

    url: PlainUrl = Field(
        None,
        description="Address of a Qdrant server, as in http://localhost:6333; empty for a folder.",
    )
    path: Path = Field(
        Path(".sensedex/qdrant"),
        description="Folder of the local mode, which one process at a time can open.",
    )
    api_key: SecretStr | None = Field(
        None, description="Key of the server; better given as SENSEDEX_INDEX__API_KEY."
    )
    prefer_grpc: bool = Field(
        True,
        description="Whether a server is written to by gRPC, which is faster than REST; searches "
        "go by REST, whose answers are read faster.",
    )
    grpc_port: int = Field(
        6334, gt=0, lt=65536, description="Port of the server's gRPC, at the host of index.url."
    )
    timeout_s: int = Field(60, gt=0, description="Seconds that a request to the server may take.")
    write_ordering: Literal["weak", "medium", "strong"] | None = Field(
        None,
        description="In which order a cluster's copies take what is written: strong sends it all "
        "by one node, medium by one that may change; empty for the server's own.",
    )
    read_consistency: Annotated[int, Field(ge=1)] | Literal["all", "majority", "quorum"] | None = (
        Field(
            None,
            description="How many copies on a cluster a search asks, and keeps what they agree "
            "in: a number, quorum, majority or all; empty for the server's own.",
        )
    )
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
    points_per_s: float | None = Field(
        None,
        gt=0,
        description="Points a second that a load writes to a server at most, as in 500. Empty: as "
        "many as it takes, but on one of fewer than eight cores a fifth of the time while somebody "
        "searches; 1e9 holds nothing.",
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

    def for_searches(self) -> IndexSettings:
        """Of who only reads: by REST, whose answers cost half the time (docs/performance.md)."""
        return self.model_copy(update={"prefer_grpc": False})
