"""A bucket of S3 or of a server that speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.records import FetchedObject, MediaObject
from pipeline.s3.client import make_fetching_client
from pipeline.s3.errors import first_contact
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_pages
from pipeline.settings import SourceSettings


class BucketSource:
    """What was listed is fetched by its ETag (If-Match) and its version."""

    def __init__(self, settings: SourceSettings) -> None:
        self._bucket = settings.bucket
        self._prefix = settings.prefix
        self._client, self._quick = make_fetching_client(settings)

    def check(self) -> None:
        first_contact(self._client, self._bucket)

    def listed(self) -> Iterator[MediaObject]:
        return self.listed_under(self._prefix)

    def listed_under(self, prefix: str) -> Iterator[MediaObject]:
        return list_pages(self._client, self._bucket, prefix)

    def fetch(self, obj: MediaObject, path: Path) -> FetchedObject:
        return fetch_to_file(self._client, obj, path, self._quick)
