"""Looks whether one object can be had from here: by a HEAD of it, or at the file."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ObjectChanged, ObjectDenied, printable
from pipeline.records import MediaObject
from pipeline.settings import SourceSettings


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
