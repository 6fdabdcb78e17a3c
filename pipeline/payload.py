"""Makes the payload of a segment's point; docs/metadata.md explains each field."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.records import MediaInfo, MediaObject, Segment

_MIME_OF_CONTAINER = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
}


def segment_payload(
    *,
    obj: MediaObject,
    sidecars: Sequence[MediaObject],
    asset_id: str,
    generation: str,
    info: MediaInfo,
    segment: Segment,
    has_vision: bool,
    has_audio: bool,
    text: str,
    user_metadata: Mapping[str, str],
    object_tags: Mapping[str, str],
    content_type: str,
    silent: bool,
    spaces: Sequence[str],
    encoder: str,
) -> dict[str, Any]:
    """The payload of one segment but for `live`, `run_id` and `sequence`, which the load adds."""
    payload: dict[str, Any] = {
        "kind": "segment",
        "asset_id": asset_id,
        "generation": generation,
        "bucket": obj.bucket,
        "key": obj.key,
        "uri": obj.uri,
        "version_id": obj.version_id,
        "etag": obj.etag,
        "size_bytes": obj.size_bytes,
        "last_modified": obj.last_modified,
        "mime": _mime(obj.key, info, content_type),
        "user_metadata": dict(user_metadata),
        "sidecar_keys": [sidecar.key for sidecar in sidecars],
        "media_type": str(info.media_type),
        "container": info.container,
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
        "video_codec": info.video_codec,
        "audio_codec": info.audio_codec,
        "asset_duration_ms": info.declared_ms,
        "segment_index": segment.index,
        "start_ms": segment.start_ms,
        "end_ms": segment.end_ms,
        "duration_ms": segment.end_ms - segment.start_ms,
        "has_vision": has_vision,
        "has_audio": has_audio,
        "has_text": bool(text),
        "silent": silent,
        "text": text,
        "spaces": list(spaces),
        "encoder": encoder,
    }
    if obj.metadata:
        payload["metadata"] = json.loads(obj.metadata)
    if object_tags:
        payload["object_tags"] = dict(object_tags)
    return payload


def _mime(key: str, info: MediaInfo, content_type: str) -> str:
    """What the content is, if its container says so; else what the store or the name says."""
    known = _MIME_OF_CONTAINER.get(info.container.split(",")[0].lower())
    if known is not None and known.startswith(str(info.media_type)):
        return known
    guessed = mimetypes.guess_type(key)[0]
    for claim in (content_type, guessed):
        if claim and claim.startswith(str(info.media_type)):
            return claim
    return f"{info.media_type}/octet-stream"


def indexed_object(payload: Mapping[str, Any]) -> MediaObject:
    """The object that a point's payload says it is of, as it was when it was indexed."""
    return MediaObject(
        payload["bucket"],
        payload["key"],
        payload["etag"],
        payload["size_bytes"],
        payload["last_modified"],
        version_id=payload["version_id"],
    )
