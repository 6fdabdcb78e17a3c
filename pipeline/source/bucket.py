"""Buckets of S3 or of a server that speaks it, or some prefixes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.records import FetchedObject, MediaObject
from pipeline.s3.client import check_unchanged, make_fetching_client
from pipeline.s3.errors import first_contact
from pipeline.s3.fetch import fetch_to_file
from pipeline.s3.listing import list_pages
from pipeline.s3.look import tags_of
from pipeline.s3.ranges import NoRangesError, RangedFile
from pipeline.settings import SourceSettings


class BucketSource:
    """What was listed is fetched by its ETag (If-Match) and its version."""

    def __init__(self, settings: SourceSettings) -> None:
        self._scopes = settings.scopes
        self._tags = settings.object_tags
        self._client, self._quick = make_fetching_client(settings)

    def check(self) -> None:
        self._first_contact(self._scopes[0].bucket)

    def listed(self) -> Iterator[MediaObject]:
        for scope in self._scopes:  # they are in order, and none is in another
            yield from list_pages(self._client, scope.bucket, scope.prefix)

    def listed_under(self, bucket: str, prefix: str) -> Iterator[MediaObject]:
        return list_pages(self._client, bucket, prefix)

    def is_gone(self, bucket: str, key: str) -> bool:  # noqa: ARG002
        return True

    def notes(self) -> tuple[str, ...]:
        return ()

    def fetch(self, obj: MediaObject, path: Path) -> FetchedObject:
        return fetch_to_file(self._client, obj, path, self._quick)

    def tags(self, obj: MediaObject) -> Mapping[str, str]:
        if not self._tags:
            return {}
        found = tags_of(self._client, obj)
        every = "*" in self._tags
        return {name: value for name, value in found.items() if every or name in self._tags}

    def _first_contact(self, bucket: str) -> None:
        first_contact(self._client, bucket)

    def open_parts(self, obj: MediaObject, path: Path) -> RangedFile | None:
        """None of a server that knows no ranges."""
        parts = RangedFile(self._client, obj, path, self._quick)
        try:
            parts.read(0, 1)
        except NoRangesError:
            return None
        return parts

    def look(self, obj: MediaObject) -> None:
        check_unchanged(self._client, obj)
