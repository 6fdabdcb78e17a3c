"""What S3 says of one object beside its bytes: a HEAD, and its tags."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from botocore import exceptions as aws

from pipeline.errors import ObjectDenied
from pipeline.records import MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.errors import answer_of, map_client_error


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
