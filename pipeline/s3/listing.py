"""List a bucket: each page whole, and the next one on its way.

A listing is a request for every 1,000 objects. Waiting for the answers and reading them take about
as long, so that one is done beside the other (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from botocore import exceptions as aws

from pipeline.ahead import ahead
from pipeline.errors import ListingEndedEarly
from pipeline.records import MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.errors import map_client_error


def check_page(page: Mapping[str, Any], bucket: str) -> None:
    """One page of a listing: it must hold what it counts, and say where the next one begins.

    Raises ListingEndedEarly. A listing that is taken to be whole, and is not, removes objects.
    """
    listed = len(page.get("Contents", ())) + len(page.get("CommonPrefixes", ()))
    if page.get("IsTruncated") and not page.get("NextContinuationToken"):
        why = "the server says that there is more, and not where"
    elif page.get("KeyCount", listed) != listed:
        why = f"{page['KeyCount']} keys counted, {listed} listed"
    else:
        return
    raise ListingEndedEarly(
        f"The listing of {bucket!r} ended early: {why}.",
        remedy="Run again; with --allow-short-listing what is listed is taken in, and nothing "
        "behind it is removed.",
    )


def list_pages(client: S3Client, bucket: str, prefix: str) -> Iterator[MediaObject]:
    """Every object under `prefix`, a page of 1,000 a request, in the server's order (UTF-8 bytes).

    botocore asks for URL-encoded keys and decodes them, so that any key comes back as it is.
    """
    for item in _listed(client, Bucket=bucket, Prefix=prefix):
        yield MediaObject(
            bucket,
            item["Key"],
            item["ETag"].strip('"'),
            item["Size"],
            item["LastModified"].astimezone(UTC).isoformat(),
            item.get("StorageClass", "STANDARD"),
        )


def list_keys(client: S3Client, bucket: str, prefix: str, start_after: str = "") -> Iterator[str]:
    """Keys under a prefix, after `start_after`, in the order of the server."""
    for item in _listed(client, Bucket=bucket, Prefix=prefix, StartAfter=start_after):
        yield item["Key"]


def _listed(client: S3Client, **asked: Any) -> Iterator[Any]:
    try:
        pages = client.get_paginator("list_objects_v2").paginate(**asked)
        # Who stops early does not wait for the next page: it may take all the timeouts of a server
        # that has stopped to answer.
        with ahead((page for page in pages), most=1, end_wait_s=0) as ready:
            for page in ready:
                yield from page.get("Contents", ())
                check_page(page, asked["Bucket"])
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise map_client_error(error, asked["Bucket"]) from error
