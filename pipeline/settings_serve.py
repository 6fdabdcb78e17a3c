"""Settings of `sensedex serve`: where it listens, who may ask, and what a request may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from pipeline.settings_fields import SettingsPart

SHORTEST_KEY = 16


def _is_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if len(text) < SHORTEST_KEY:
        raise ValueError(f"a key has at least {SHORTEST_KEY} characters")
    if not text.isascii():
        raise ValueError("a key is of ASCII, since it stands in a header")
    return key


def _is_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin:
        raise ValueError("an origin is https://host, without a path and without *")
    return origin


ApiKey = Annotated[SecretStr, AfterValidator(_is_key)]
Origin = Annotated[str, AfterValidator(_is_origin)]


class ServeSettings(SettingsPart):
    """The HTTP API and its page (docs/serve.md)."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="The address on which `sensedex serve` listens; 0.0.0.0 for other machines "
        "too, which takes keys.",
    )
    port: int = Field(
        8321, ge=0, le=65535, description="Its port; 0 for one that is free, which it names."
    )
    api_keys: tuple[ApiKey, ...] = Field(
        (),
        description="Keys, any of which lets a request in; better given as "
        'SENSEDEX_SERVE__API_KEYS=["..."]. Empty for none, on this machine alone.',
    )
    names: tuple[str, ...] = Field(
        (),
        description="Names by which this server may be asked for, beside those of this machine, "
        "where there are no keys: those of a proxy before it.",
    )
    cors_origins: tuple[Origin, ...] = Field(
        (),
        description="Pages of other servers that may ask, as in https://shelf.example; empty for "
        "none.",
    )
    media: Literal["proxy", "redirect"] = Field(
        "proxy",
        description="How media gets to who plays it: through this server (proxy), or from the "
        "bucket by a link of an hour (redirect).",
    )
    cache_folder: Path = Field(
        Path(".sensedex/serve"),
        description="Folder of the pictures that were made, and of the objects they were made of.",
    )
    cache_mb: int = Field(
        1024, ge=1, description="Megabytes in that folder, at most; what was not asked for goes."
    )
    poster_object_mb: int = Field(
        512, ge=1, description="Megabytes of an object of which a picture is made, at most."
    )
    look_for_s: float = Field(
        30.0,
        ge=0,
        description="Seconds for which an object that was looked at counts as being there.",
    )
    remembered_terms: int = Field(
        1024,
        ge=16,
        description="Words, pictures and sounds whose vectors are remembered, so that the same "
        "question is not encoded again.",
    )
    upload_mb: int = Field(
        32, ge=1, description="Megabytes that one request may upload, all its files together."
    )
    upload_pixels: int = Field(
        50_000_000, gt=0, description="Pixels of a picture that is uploaded, at most."
    )
    upload_s: int = Field(
        60, gt=0, description="Seconds of an uploaded sound or video that are listened to."
    )
    upload_within_s: float = Field(
        30.0, gt=0, description="Seconds within which a request has to have arrived."
    )
    uploads_at_once: int = Field(
        8, ge=1, description="Uploads that are received at once; one more is asked to wait."
    )
    decoders: int = Field(
        2, ge=1, description="Processes that decode uploads and pictures at once."
    )
    pictures_waiting: int = Field(
        200, ge=1, description="Pictures that may wait for one of them; one more is refused."
    )
    searches_at_once: int = Field(8, ge=1, description="Searches that are worked on at once.")
    searches_waiting: int = Field(
        500, ge=0, description="Searches that may wait for their turn; one more is refused."
    )
    plays_at_once: int = Field(
        100,
        ge=1,
        description="Objects that are sent at once, each a megabyte at a time; one more is "
        "refused.",
    )
    answer_within_s: float = Field(
        30.0, gt=0, description="Seconds after which a search is given up."
    )
    connections: int = Field(
        1000, ge=8, description="Connections that are open at once; one more is refused."
    )

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")
