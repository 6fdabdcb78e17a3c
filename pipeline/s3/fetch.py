"""Fetches objects of a bucket to a disk, as they were listed: whole, or large ones in parts.

A connection that is cut is taken up again where it broke, under the same precondition. A part is
asked for by a range; a server that knows none sends all of it, and is asked for the whole instead.
"""

from __future__ import annotations

import email.header
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from botocore import exceptions as aws

from pipeline.errors import ObjectChanged, printable
from pipeline.records import FetchedObject, MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.errors import map_client_error
from pipeline.s3.quick_get import QuickGet

# A chunk that a cut connection spoils is fetched again: small enough not to matter.
CHUNK_BYTES = 256 * 1024
RESUMES_WITHOUT_PROGRESS = 4

# What a body may raise after its headers have come; urllib3's own errors arrive wrapped in these.
_CUT = (aws.ResponseStreamingError, aws.IncompleteReadError, aws.HTTPClientError)

IN_PARTS_FROM_BYTES = 64 * 2**20
PART_BYTES = 16 * 2**20
PARTS_AT_ONCE = 4
"""One connection to S3 gives less than a network card takes; not measured here."""


def fetch_to_file(
    client: S3Client, obj: MediaObject, path: Path, quick: QuickGet | None = None
) -> FetchedObject:
    """GET the object as it was listed (If-Match, and its version) into `path`, in chunks.

    A connection that is cut is taken up again where it broke, under the same precondition.
    Raises ObjectChanged (`object_gone` when it is no longer there), ObjectDenied, ObjectArchived,
    StoreUnavailable and what `map_client_error` knows of the bucket.
    """
    if obj.size_bytes >= IN_PARTS_FROM_BYTES:
        fetched = _in_parts(client, obj, path)
        if fetched is not None:
            return fetched
    return _whole(client, obj, path, quick)


def _in_parts(client: S3Client, obj: MediaObject, path: Path) -> FetchedObject | None:
    """None where the server knows no ranges."""
    starts = range(0, obj.size_bytes, PART_BYTES)
    stops = [min(start + PART_BYTES, obj.size_bytes) for start in starts]
    with path.open("wb") as file, ThreadPoolExecutor(PARTS_AT_ONCE, "part") as pool:
        # The first one says whether there are ranges, and what the object is.
        fetched = fetch_part(client, obj, file.fileno(), 0, stops[0])
        if fetched is None:
            return None
        parts = [
            pool.submit(fetch_part, client, obj, file.fileno(), start, stop)
            for start, stop in zip(starts[1:], stops[1:], strict=True)
        ]
        try:
            whole = None not in [part.result() for part in parts]
        finally:
            for part in parts:
                part.cancel()
    return fetched if whole else None


def fetch_part(
    client: S3Client,
    obj: MediaObject,
    number: int,
    start: int,
    stop: int,
    quick: QuickGet | None = None,
) -> FetchedObject | None:
    """One part of the object, of at least a byte, into the open file `number`; None where more than
    it is sent. Raises what `fetch_to_file` raises."""
    at = start
    fetched: FetchedObject | None = None
    stalls = 0
    while at < stop:
        before = at
        asked = f"bytes={at}-{stop - 1}"
        try:
            answer: Any = quick.get(obj, asked) if quick is not None and at == start else None
            if answer is None:
                answer = client.get_object(**_asked(obj), Range=asked)
                if quick is not None:
                    quick.learn(obj)
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise map_client_error(error, obj.bucket, obj.key) from error
        fetched = fetched or _fetched(answer)
        cut: Exception = aws.IncompleteReadError(
            actual_bytes=at - start, expected_bytes=stop - start
        )
        try:
            with closing(answer["Body"]) as body:
                if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                    return None
                while chunk := body.read(min(CHUNK_BYTES, stop - at)):
                    at += os.pwrite(number, chunk, at)
        except _CUT as error:
            cut = error
        stalls = 0 if at > before else stalls + 1
        if stalls > RESUMES_WITHOUT_PROGRESS:
            raise map_client_error(cut, obj.bucket, obj.key) from cut
        if at < stop:
            time.sleep(0.1 * 2**stalls)
    return fetched


def _asked(obj: MediaObject) -> dict[str, Any]:
    """The object as it was listed."""
    condition: dict[str, Any] = {"Bucket": obj.bucket, "Key": obj.key, "IfMatch": f'"{obj.etag}"'}
    if obj.version_id is not None:
        condition["VersionId"] = obj.version_id
    return condition


def _whole(client: S3Client, obj: MediaObject, path: Path, quick: QuickGet | None) -> FetchedObject:
    condition = _asked(obj)
    fetched: FetchedObject | None = None
    stalls = 0
    with path.open("wb") as file:
        while True:
            before = file.tell()
            try:
                # Of an empty object no range can be asked; the first request never has one.
                asked = condition | ({"Range": f"bytes={before}-"} if before else {})
                answer: Any = quick.get(obj) if quick is not None and fetched is None else None
                if answer is None:
                    answer = client.get_object(**asked)
                    if quick is not None:
                        quick.learn(obj)
            except (aws.BotoCoreError, aws.ClientError) as error:
                raise map_client_error(error, obj.bucket, obj.key) from error
            if before and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                file.seek(0)  # the server knows no ranges and sends it all again
                file.truncate()
            fetched = fetched or _fetched(answer)
            try:
                with closing(answer["Body"]) as body:
                    _copy(body, file)
                break
            except _CUT as error:
                if file.tell() >= obj.size_bytes:
                    break  # the last byte had come before the cut
                stalls = 0 if file.tell() > before else stalls + 1
                if stalls > RESUMES_WITHOUT_PROGRESS:
                    raise map_client_error(error, obj.bucket, obj.key) from error
                time.sleep(0.1 * 2**stalls)
        size = file.tell()
    if size != obj.size_bytes or fetched is None:
        raise ObjectChanged(
            f"{printable(obj.uri)} has {size} bytes; the listing said {obj.size_bytes}.",
            remedy="The next run plans it anew.",
        )
    return fetched


def _copy(body: Any, file: BinaryIO) -> None:
    while chunk := body.read(CHUNK_BYTES):
        file.write(chunk)


def _fetched(answer: Any) -> FetchedObject:
    # AWS sends metadata that is not ASCII as RFC 2047 words.
    metadata = {
        name: str(email.header.make_header(email.header.decode_header(value)))
        for name, value in answer.get("Metadata", {}).items()
    }
    return FetchedObject(answer.get("ContentType", ""), metadata)
