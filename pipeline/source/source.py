"""The protocol of a source: a place where media lies, be it a bucket or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.errors import ObjectChanged, ObjectDenied, printable
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

    def listed_under(self, prefix: str) -> Iterator[MediaObject]:
        """As `listed`, of the keys that begin with `prefix`, whatever the source's own is."""

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


def check_object(settings: SourceSettings, obj: MediaObject) -> None:
    """Asks for nothing of its content. Raises what a fetch would raise before its first byte:
    ObjectDenied, ObjectChanged, CredentialsMissing, SettingsError, StoreUnavailable."""
    if settings.folder is not None:
        _check_file(obj)
        return
    from pipeline.s3.client import head, make_client  # boto3 takes half a second
    from pipeline.s3.errors import first_contact

    client = make_client(settings)
    first_contact(client, obj.bucket)
    head(client, obj)


def _check_file(obj: MediaObject) -> None:
    uri = printable(obj.uri)
    try:
        with Path(obj.bucket, obj.key).open("rb"):
            return
    except PermissionError as error:
        raise ObjectDenied(f"{uri} may not be read.", remedy="Change its permissions.") from error
    except OSError as error:
        raise ObjectChanged(
            f"{uri} is not there ({error.strerror}).",
            code="object_gone",
            remedy="Mount the source's folder at the same path on every node, or index a bucket.",
        ) from error
