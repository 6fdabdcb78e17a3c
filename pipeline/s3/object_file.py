"""An object of a bucket as a file: only what is read of it is fetched.

For readers that jump, as Parquet's do. Each read is a GET of a range; who reads many small pieces
in a row wants a copy on disk.
"""

from __future__ import annotations

import io
from contextlib import closing
from typing import Any

from botocore import exceptions as aws

from pipeline.s3.client import S3Client
from pipeline.s3.errors import answer_of, map_client_error

_NONE_THERE = ("404", "NoSuchKey")


class ObjectFile(io.RawIOBase):
    """Open for reading, at the content that it has when it is opened: a later one is an error.

    Raises FileNotFoundError where there is no such object, and what `map_client_error` gives.
    """

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        try:
            answer = client.head_object(Bucket=bucket, Key=key)
        except (aws.BotoCoreError, aws.ClientError) as error:
            if answer_of(error)[0] in _NONE_THERE:
                raise FileNotFoundError(f"there is no s3://{bucket}/{key}") from error
            raise map_client_error(error, bucket, key, "s3:GetObject") from error
        self._size, self._etag = answer["ContentLength"], answer["ETag"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        found = self._fetched(self._at, wanted)
        self._at += len(found)
        return found

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def _fetched(self, begin: int, count: int) -> bytes:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key,
                Range=f"bytes={begin}-{begin + count - 1}",
                IfMatch=self._etag,
            )
            with closing(answer["Body"]) as body:
                return body.read()
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise map_client_error(error, self._bucket, self._key, "s3:GetObject") from error
