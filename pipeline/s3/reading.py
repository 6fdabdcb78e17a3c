"""A part of an object into memory, of the content that was listed: for who plays it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from botocore import exceptions as aws

from pipeline.errors import StoreUnavailable, printable
from pipeline.records import MediaObject
from pipeline.s3.client import S3Client
from pipeline.s3.errors import map_client_error

TRIES = 3  # beside those of the client, which are over once a body has begun
_CUT = (aws.ResponseStreamingError, aws.IncompleteReadError, aws.HTTPClientError)


def read_range(client: S3Client, obj: MediaObject, start: int, stop: int) -> bytes:
    """The object's bytes from `start` up to `stop`, at least one, under If-Match and its version.

    Raises ObjectChanged (`object_gone` where it is no longer there), ObjectDenied, ObjectArchived
    and StoreUnavailable, also of a server that knows no ranges and an object larger than the part.
    """
    asked: dict[str, Any] = {
        "Bucket": obj.bucket,
        "Key": obj.key,
        "IfMatch": f'"{obj.etag}"',
        "Range": f"bytes={start}-{stop - 1}",
    }
    if obj.version_id is not None:
        asked["VersionId"] = obj.version_id
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            answer = client.get_object(**asked)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] != stop - start:
                    raise StoreUnavailable(
                        f"The server sent {answer['ContentLength']} bytes of "
                        f"{printable(obj.uri)} where {stop - start} were asked for.",
                        remedy="Set serve.media to redirect where it knows no ranges.",
                    )
                return body.read()
        except _CUT as error:
            if last:
                raise map_client_error(error, obj.bucket, obj.key) from error
            time.sleep(0.1)
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise map_client_error(error, obj.bucket, obj.key) from error
    raise AssertionError
