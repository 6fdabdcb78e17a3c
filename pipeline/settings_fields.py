"""What settings' fields are made of: suffixes of media, URLs without secrets, optional fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

MEDIA_SUFFIXES = [
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".mp4",
    ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".ogv",
    ".oggtheora", ".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma",
]  # fmt: skip
SIDECAR_SUFFIXES = (".srt", ".vtt", ".txt")


def _without_credentials(url: str | None) -> str | None:
    """A URL stands in logs, in Prefect's parameters and in messages: no secret may be in it."""
    if url is not None and ("@" in url.partition("://")[2] or "?" in url):
        raise ValueError(
            "a URL that holds a user, a password or a query; AWS's chain has S3's credentials, "
            "SENSEDEX_INDEX__API_KEY Qdrant's"
        )
    return url


PlainUrl = Annotated[str | None, AfterValidator(_without_credentials)]

OptionalField = Literal[
    "asset_duration_ms", "audio_codec", "container", "fps", "height", "sidecar_keys", "silent",
    "tag_scores", "text", "user_metadata", "video_codec", "width",
]  # fmt: skip
