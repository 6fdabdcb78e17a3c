"""Types and values of settings: suffixes of media, URLs without secrets, payload fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from pipeline.payload_schema import FIELDS

MEDIA_SUFFIXES = [
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".mp4",
    ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".ogv",
    ".oggtheora", ".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma",
]  # fmt: skip
SIDECAR_SUFFIXES = (".srt", ".vtt", ".txt")


class SettingsPart(BaseModel):
    """A part of the settings: frozen, and of known fields alone."""

    # What was given is not repeated in an error: it may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _without_credentials(url: str | None) -> str | None:
    """A URL stands in logs, in Prefect's parameters and in messages: no secret may be in it."""
    if url is not None and ("@" in url.partition("://")[2] or "?" in url):
        raise ValueError(
            "a URL that holds a user, a password or a query; AWS's chain has S3's credentials, "
            "SENSEDEX_INDEX__API_KEY Qdrant's"
        )
    return url


PlainUrl = Annotated[str | None, AfterValidator(_without_credentials)]

# The names are the table's. Pydantic takes a Literal that is made as the module is read, and lists
# the names where a setting has another; mypy wants one that is written out.
if TYPE_CHECKING:
    OptionalField = str
else:
    OptionalField = Literal[tuple(sorted(field.name for field in FIELDS if field.may_be_left_out))]
