"""Looks at one object without its bytes: a HEAD, its tags, whether it is there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from botocore import exceptions as aws

from pipeline.errors import ObjectDenied, printable
from pipeline.places import Scope
from pipeline.records import MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.errors import answer_of, map_client_error
from pipeline.s3.listing import check_page

HEADS_FIRST = 32


def look(client: S3Client, bucket: str, key: str, version_id: str | None) -> MediaObject | None:
    """The object as a listing would have it, of that version or the latest; None where there is
    none, or it is deleted.

    Raises ObjectDenied, and what `map_client_error` gives.
    """
    asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if version_id is not None:
        asked["VersionId"] = version_id
    try:
        answer = client.head_object(**asked)
    except (aws.BotoCoreError, aws.ClientError) as error:
        # The answer to a HEAD has no body, so that there is a status alone. 405: a delete marker.
        # 400: a version's name that this server knows to be none.
        if answer_of(error)[1] in (404, 405) or (version_id and answer_of(error)[1] == 400):
            return None
        raise map_client_error(error, bucket, key) from error
    return MediaObject(
        bucket,
        key,
        answer["ETag"].strip('"'),
        answer["ContentLength"],
        answer["LastModified"].astimezone(UTC).isoformat(),
        answer.get("StorageClass", "STANDARD"),
        version_id,
    )


def is_there(client: S3Client, bucket: str, key: str) -> bool:
    """Whether there is such an object now. One that may not be read may be there.

    Raises StoreUnavailable, CredentialsMissing and what else `map_client_error` gives.
    """
    try:
        return look(client, bucket, key, None) is not None
    except ObjectDenied:
        return True


def tags_of(client: S3Client, obj: MediaObject) -> dict[str, str]:
    """The object's tags, of its version. Raises ObjectDenied, ObjectChanged, StoreUnavailable."""
    asked: dict[str, Any] = {"Bucket": obj.bucket, "Key": obj.key}
    if obj.version_id is not None:
        asked["VersionId"] = obj.version_id
    try:
        answer = client.get_object_tagging(**asked)
    except (aws.BotoCoreError, aws.ClientError) as error:
        code, status = answer_of(error)
        if code == "NoSuchTagSet":
            return {}
        if status == 403:
            raise ObjectDenied(
                f"The tags of {printable(obj.uri)} may not be read (S3 says {code or status}).",
                remedy="Allow s3:GetObjectTagging, then `sensedex retry`; or leave "
                "source.object_tags empty.",
            ) from error
        raise map_client_error(error, obj.bucket, obj.key) from error
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


class Presence:
    """Whether objects are there, asked in the order of their keys. The first are asked one by one;
    where there are more, a page of the listing answers for the thousand keys that follow."""

    def __init__(self, client: S3Client, scopes: Collection[Scope]) -> None:
        self._client = client
        self._scopes = scopes
        self._asked = 0
        self._page = _Page("", "", "", frozenset())

    def has(self, bucket: str, key: str) -> bool:
        """Raises what `is_there` raises, and ListingEndedEarly."""
        page = self._page
        if page.bucket == bucket and page.after < key and (page.until is None or key <= page.until):
            return key in page.keys
        there = is_there(self._client, bucket, key)
        self._asked += 1
        if self._asked >= HEADS_FIRST:
            self._page = self._page_after(bucket, key)
        return there

    def _page_after(self, bucket: str, key: str) -> _Page:
        covering = [s.prefix for s in self._scopes if s.covers(Scope(bucket, key))]
        prefix = covering[0] if covering else ""
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "StartAfter": key}
        try:
            page = self._client.list_objects_v2(**asked)
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise map_client_error(error, bucket) from error
        check_page(page, bucket)
        keys = [item["Key"] for item in page.get("Contents", ())]
        until = keys[-1] if page.get("IsTruncated") and keys else None
        return _Page(bucket, key, until, frozenset(keys))


@dataclass(frozen=True, slots=True)
class _Page:
    """The keys of a bucket after one and up to another; None for all that follow."""

    bucket: str
    after: str
    until: str | None
    keys: frozenset[str]
