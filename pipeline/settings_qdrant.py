"""Settings of Qdrant itself: where it is, and how it is spoken to. What a collection is made with
is in `pipeline.settings`, whose `IndexSettings` has these fields too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from pipeline.settings_fields import PlainUrl, SettingsPart


class QdrantSettings(SettingsPart):
    """A server by `url`, or a folder by `path` (local mode), and how requests to it are made."""

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
        True, description="Whether a server is spoken to by gRPC, which is faster than REST."
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
