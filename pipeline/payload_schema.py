"""The table of the payload's fields, one row each.

Made from it: the payload indexes, the fields that an anchor has from its segments, what
`index.payload_exclude` takes, what verify compares, the table in docs/metadata.md, and
docs/payload.schema.json.

A new field is a row here, and its value where it is written: `payload.py` (the object, its media, a
window), `embed/encode.py` (tags) or `index/load.py` (an anchor, a load). Then
`python -m tests.payload_docs` writes the two documents anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from pipeline.payload_fields import (
    ANCHORS,
    BOTH,
    SEGMENTS,
    IndexKind,
    PayloadField,
    PointKind,
    Subject,
    ValueType,
    Verified,
)
from pipeline.records import MediaType, Status

_about_asset = partial(PayloadField, on=BOTH, describes=Subject.ASSET)
_about_window = partial(PayloadField, on=SEGMENTS, describes=Subject.WINDOW)
_about_all_windows = partial(PayloadField, on=ANCHORS, describes=Subject.ASSET)
_about_run = partial(PayloadField, on=BOTH, describes=Subject.RUN)

_TAGGED = "`tags.labels` is set and the window has a picture or sound for the first encoder"


def _each_once(fields: Iterable[PayloadField]) -> tuple[PayloadField, ...]:
    by_name: dict[str, PayloadField] = {}
    for field in fields:
        if field.name in by_name:
            raise ValueError(f"{field.name} is in the table twice")
        by_name[field.name] = field
    return tuple(by_name.values())


# What an anchor has from its segments is stored in the order of this table.
FIELDS = _each_once(
    [
        # The point.
        PayloadField(
            "kind",
            ValueType.KEYWORD,
            "`segment` or `asset`",
            on=BOTH,
            describes=Subject.POINT,
            index=IndexKind.KEYWORD,
            verified=Verified.EVERY_POINT,
            choices=tuple(map(str, PointKind)),
        ),
        PayloadField(
            "live",
            ValueType.BOOL,
            "whether readers are to see it; anchors have no such field",
            on=SEGMENTS,
            describes=Subject.POINT,
            index=IndexKind.BOOL,
            verified=Verified.EVERY_POINT,
        ),
        _about_asset(
            "asset_id",
            ValueType.KEYWORD,
            "uuid5 of bucket and key: the same for all versions of an object",
            index=IndexKind.KEYWORD,
            graph_links=False,
            verified=Verified.EVERY_POINT,
        ),
        # The object, as the bucket has it.
        _about_asset(
            "bucket", ValueType.KEYWORD, "the bucket's name: `films`; of a folder its absolute path"
        ),
        _about_asset(
            "key",
            ValueType.KEYWORD,
            "the key as it is, any character that S3 takes",
            index=IndexKind.KEYWORD,
            prefixes=True,
        ),
        _about_asset(
            "uri",
            ValueType.KEYWORD,
            "where the object is: `s3://films/park.mp4`, `file:///films/park.mp4`",
        ),
        _about_asset(
            "version_id", ValueType.KEYWORD, "the object's, in a versioned bucket", nullable=True
        ),
        _about_asset("etag", ValueType.KEYWORD, "the object's ETag, without quotes"),
        _about_asset(
            "size_bytes",
            ValueType.INTEGER,
            "bytes of the object",
            index=IndexKind.INTEGER,
            graph_links=False,
        ),
        _about_asset(
            "last_modified",
            ValueType.TEXT,
            "of the object, ISO 8601 in UTC: `2026-11-21T02:30:00+00:00`",
            index=IndexKind.DATETIME,
            graph_links=False,
        ),
        _about_asset(
            "mime",
            ValueType.KEYWORD,
            "of the content where it is known, else as stored: `video/mp4`",
        ),
        _about_asset(
            "user_metadata",
            ValueType.TEXT_BY_NAME,
            "the object's `x-amz-meta-*`, names in lower case",
            may_be_left_out=True,
        ),
        _about_asset(
            "metadata",
            ValueType.VALUES_BY_NAME,
            "what a manifest says of the object: `metadata.year` is 2026",
            may_be_left_out=True,
            only_where="`source.manifest` has columns of its own for the object",
        ),
        _about_asset(
            "object_tags",
            ValueType.TEXT_BY_NAME,
            "tags of the object in S3, as they were when it was embedded",
            may_be_left_out=True,
            only_where="`source.object_tags` wants one that the object has",
        ),
        _about_asset(
            "sidecar_keys",
            ValueType.KEYWORDS,
            "keys of the texts beside the object",
            may_be_left_out=True,
        ),
        # The media, as its container says.
        _about_asset(
            "media_type",
            ValueType.KEYWORD,
            "`image`, `video` or `audio`, by content",
            index=IndexKind.KEYWORD,
            choices=tuple(map(str, MediaType)),
        ),
        _about_asset(
            "container",
            ValueType.KEYWORD,
            "the format: `mov,mp4,m4a,3gp,3g2,mj2`",
            may_be_left_out=True,
        ),
        _about_asset(
            "width",
            ValueType.INTEGER,
            "pixels, upright; 0 where there is no picture",
            may_be_left_out=True,
        ),
        _about_asset("height", ValueType.INTEGER, "pixels, upright", may_be_left_out=True),
        _about_asset(
            "fps",
            ValueType.FLOAT,
            "mean frames a second; 0 for stills and sound",
            may_be_left_out=True,
        ),
        _about_asset(
            "video_codec",
            ValueType.KEYWORD,
            "`h264`; empty where there is none",
            may_be_left_out=True,
        ),
        _about_asset(
            "audio_codec",
            ValueType.KEYWORD,
            "`aac`; empty where there is none",
            may_be_left_out=True,
        ),
        _about_asset(
            "asset_duration_ms",
            ValueType.INTEGER,
            "milliseconds that the container declares",
            index=IndexKind.INTEGER,
            graph_links=False,
            may_be_left_out=True,
        ),
        # How it was embedded.
        _about_asset(
            "generation",
            ValueType.KEYWORD,
            "16 hex digits: this content, embedded this way",
            index=IndexKind.KEYWORD,
            graph_links=False,
            verified=Verified.EVERY_POINT,
        ),
        _about_asset(
            "spaces", ValueType.KEYWORDS, "fingerprints of the encoders whose vectors these are"
        ),
        _about_asset("encoder", ValueType.KEYWORD, "the first of them: `imagebind-huge`"),
        # The window.
        _about_window("segment_index", ValueType.INTEGER, "0, 1, 2, ... in the order of time"),
        _about_window(
            "start_ms",
            ValueType.INTEGER,
            "milliseconds from the start of the media",
            index=IndexKind.INTEGER,
            graph_links=False,  # those of its ranges cost two thirds of the graph again
        ),
        _about_window("end_ms", ValueType.INTEGER, "milliseconds, exclusive; a still has 0 and 0"),
        _about_window("duration_ms", ValueType.INTEGER, "`end_ms - start_ms`"),
        _about_window(
            "has_vision",
            ValueType.BOOL,
            "whether the window has a picture",
            index=IndexKind.BOOL,
        ),
        _about_window(
            "has_audio", ValueType.BOOL, "whether the window has sound", index=IndexKind.BOOL
        ),
        _about_window(
            "has_text",
            ValueType.BOOL,
            "whether a sidecar says something about the window",
            index=IndexKind.BOOL,
        ),
        _about_window(
            "silent",
            ValueType.BOOL,
            "there is sound, and none of it exceeds one step of 32768",
            may_be_left_out=True,
        ),
        _about_window(
            "text",
            ValueType.TEXT,
            "the subtitles that overlap the window, or the caption",
            may_be_left_out=True,
        ),
        _about_window(
            "words",
            ValueType.KEYWORDS,
            "of the key and the text, each once, in lower case without accents; made on loading",
            index=IndexKind.KEYWORD,
            graph_links=False,
            verified=Verified.NEVER,
            may_be_left_out=True,
        ),
        _about_window(
            "tags",
            ValueType.KEYWORDS,
            "labels of `tags.labels` that the window's picture or sound is likest",
            index=IndexKind.KEYWORD,
            only_where=_TAGGED,
        ),
        _about_window(
            "tag_scores",
            ValueType.TAG_SCORES,
            '`{"sense": "vision", "label": "dog", "score": 0.93}`, one a tag and modality',
            may_be_left_out=True,
            only_where=_TAGGED,
        ),
        # All windows of an asset.
        _about_all_windows(
            "segments",
            ValueType.INTEGER,
            "how many segments the live generation has",
            verified=Verified.EVERY_POINT,
        ),
        _about_all_windows(
            "status",
            ValueType.KEYWORD,
            "`indexed` or `partial`",
            choices=(str(Status.INDEXED), str(Status.PARTIAL)),
        ),
        _about_all_windows("decoded_ms", ValueType.INTEGER, "milliseconds that were decoded"),
        # The run that wrote the point.
        _about_run(
            "sequence",
            ValueType.INTEGER,
            "fencing token of the run that wrote it; it only grows",
            index=IndexKind.INTEGER,
            graph_links=False,
            verified=Verified.EVERY_POINT,
        ),
        _about_run(
            "run_id", ValueType.KEYWORD, "of the run that wrote it", verified=Verified.NEVER
        ),
    ]
)


def fields_on(kind: PointKind) -> tuple[PayloadField, ...]:
    """The fields that a point of this kind may have, in the table's order."""
    return tuple(field for field in FIELDS if kind in field.on)
