"""The protocol of a source: a place where media lies, be it a bucket or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from pipeline.byte_ranges import ByteRanges
from pipeline.errors import ObjectChanged, ObjectDenied, printable
from pipeline.records import FetchedObject, MediaObject
from pipeline.settings import SourceSettings


class PartlyFetched(Protocol):
    """A file of an object's whole size, into which its bytes come as they are asked for, all of the
    version that was listed. What was not fetched is holes.

    Methods raise what `Source.fetch` raises.
    """

    @property
    def fetched(self) -> ByteRanges:
        """What is there."""

    @property
    def found(self) -> FetchedObject:
        """What the source says of the object; known once anything is there."""

    def read(self, start: int, stop: int) -> bytes:
        """These bytes of the object."""

    def fetch(self, ranges: ByteRanges) -> None:
        """Get what is not there of them."""

    def fetch_rest(self) -> None:
        """Get all that is not there."""


class Source(Protocol):
    """A place with objects, each of which has a key, and an ETag that changes with its content."""

    def check(self) -> None:
        """Say within seconds that nobody is there. Raises what says why: StoreUnavailable,
        SettingsError."""

    def listed(self) -> Iterator[MediaObject]:
        """Every object of the source's scopes, once, in the order of buckets and of the keys' UTF-8
        bytes: joins with the state stream on it.

        Raises ListingEndedEarly where it is not whole: what a listing lacks is taken to be gone.
        """

    def listed_under(self, bucket: str, prefix: str) -> Iterator[MediaObject]:
        """As `listed`, of the bucket's keys that begin with `prefix`, as they are now, whatever
        the scopes are."""

    def is_gone(self, bucket: str, key: str) -> bool:
        """Asked of an object that is known and was not listed: may it be taken out of the index?
        True where a listing promises all that there is; who promises less looks, or says no. Asked
        while `listed` goes on, of what it has passed."""

    def notes(self) -> tuple[str, ...]:
        """Sentences for people about what was listed, once it is: how old, what was left out."""

    def fetch(self, obj: MediaObject, path: Path) -> FetchedObject:
        """Write to `path` the very bytes that were listed, those of `obj.etag` and no others.

        Raises ObjectChanged (`object_gone` where it is no longer there), ObjectDenied,
        ObjectArchived and StoreUnavailable.
        """

    def tags(self, obj: MediaObject) -> Mapping[str, str]:
        """Those of the object's tags that `source.object_tags` wants. Raises as `fetch` does."""

    def open_parts(self, obj: MediaObject, path: Path) -> PartlyFetched | None:
        """The object as a file at `path` of which nothing is there yet; None where to fetch all of
        it costs no more.

        Raises what `fetch` raises.
        """

    def look(self, obj: MediaObject) -> None:
        """See that the object is still what was listed, without its content. Raises ObjectChanged
        (`object_gone`), ObjectDenied and StoreUnavailable."""


def open_source(settings: SourceSettings) -> Source:
    """The place that the settings name; nothing is asked of it yet."""
    if settings.folder is not None:
        from pipeline.source.folder import FolderSource

        return FolderSource(Path(settings.name), settings.prefix, settings.folder_etag)
    if settings.inventory is not None:
        from pipeline.source.inventory import InventorySource

        return InventorySource(settings, settings.inventory)
    if settings.manifest is not None:
        from pipeline.source.manifest import ManifestSource

        return ManifestSource(settings, settings.manifest)
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
