"""The protocol of a source: a place where media lies, be it a bucket or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.records import FetchedObject, MediaObject
from pipeline.settings import SourceSettings


class Source(Protocol):
    """A place with objects, each of which has a key, and an ETag that changes with its content."""

    def check(self) -> None:
        """Say within seconds that nobody is there. Raises what says why: StoreUnavailable,
        SettingsError."""

    def listed(self) -> Iterator[MediaObject]:
        """Every object under the prefix, once, in the order of the keys' UTF-8 bytes: joins with
        the state stream on it.

        Raises ListingEndedEarly where it is not whole: what a listing lacks is taken to be gone.
        """

    def fetch(self, obj: MediaObject, path: Path) -> FetchedObject:
        """Write to `path` the very bytes that were listed, those of `obj.etag` and no others.

        Raises ObjectChanged (`object_gone` where it is no longer there), ObjectDenied,
        ObjectArchived and StoreUnavailable.
        """


def open_source(settings: SourceSettings) -> Source:
    """The place that the settings name; nothing is asked of it yet."""
    if settings.folder is not None:
        from pipeline.source.folder import FolderSource

        return FolderSource(Path(settings.name), settings.prefix, settings.folder_etag)
    from pipeline.source.bucket import BucketSource  # boto3 takes half a second

    return BucketSource(settings)
