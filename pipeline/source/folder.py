"""A folder on disk, and all that lies in it.

A key is a file's path in the folder, with slashes. Files and folders whose names begin with a dot
are left out, as are links to folders (they could lead in a circle) and what is no regular file.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pipeline.errors import (
    ListingEndedEarly,
    ObjectChanged,
    ObjectDenied,
    SettingsError,
    StoreUnavailable,
    printable,
)
from pipeline.records import FetchedObject, MediaObject


class FolderSource:
    """`etag` says by what a file is known to be another: `stat`, its size, time and inode, or
    `digest`, the SHA-256 of its content, for which every file is read at every listing."""

    def __init__(self, folder: Path, prefix: str, etag: Literal["stat", "digest"]) -> None:
        self._folder = folder
        self._prefix = prefix
        self._by_digest = etag == "digest"

    def check(self) -> None:
        if not self._folder.is_dir():
            raise SettingsError(
                f"Setting source.folder: there is no folder {printable(str(self._folder))}.",
                remedy="Name a folder with media in it, by --source or in sensedex.toml.",
            )

    def listed(self) -> Iterator[MediaObject]:
        return self._below(self._folder, "")

    def listed_under(self, bucket: str, prefix: str) -> Iterator[MediaObject]:
        return FolderSource(Path(bucket), prefix, "digest" if self._by_digest else "stat").listed()

    def is_gone(self, bucket: str, key: str) -> bool:  # noqa: ARG002
        return True

    def notes(self) -> tuple[str, ...]:
        return ()

    def fetch(self, obj: MediaObject, path: Path) -> FetchedObject:
        # Where it was listed: a worker of Ray's resolves a relative folder in another place.
        file = Path(obj.bucket, obj.key)
        try:
            shutil.copyfile(file, path)
            # Looked at again, now of the bytes that are here: who writes meanwhile is found out.
            found = self._etag(file, path if self._by_digest else file)
        except FileNotFoundError as error:
            raise _gone(obj) from error
        except PermissionError as error:
            raise _denied(obj) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # of the copy: `scratch_folder` says so
            raise _unreadable(obj, error) from error
        if found != obj.etag:
            raise _changed(obj, "listed")
        return FetchedObject(mimetypes.guess_type(obj.key)[0] or "")

    def tags(self, obj: MediaObject) -> Mapping[str, str]:  # noqa: ARG002  a file has none
        return {}

    def open_parts(self, obj: MediaObject, path: Path) -> None:
        """A copy on this machine, or over a network's file system, is as quick whole."""

    def look(self, obj: MediaObject) -> None:
        file = Path(obj.bucket, obj.key)
        try:
            found = self._etag(file, file)
        except FileNotFoundError as error:
            raise _gone(obj) from error
        except OSError as error:
            raise _denied(obj) from error
        if found != obj.etag:
            raise _changed(obj, "indexed")

    def read(self, obj: MediaObject, start: int, stop: int) -> bytes:
        """These bytes, of the content that was listed; by digest, its size alone is looked at.
        Raises ObjectChanged, ObjectDenied, StoreUnavailable."""
        try:
            with Path(obj.bucket, obj.key).open("rb") as opened:
                facts = os.fstat(opened.fileno())
                is_other = not self._by_digest and _stat_etag(facts) != obj.etag
                if is_other or facts.st_size != obj.size_bytes:
                    raise _changed(obj, "indexed")
                return os.pread(opened.fileno(), stop - start, start)
        except FileNotFoundError as error:
            raise _gone(obj) from error
        except PermissionError as error:
            raise _denied(obj) from error
        except OSError as error:
            raise _unreadable(obj, error) from error

    def _below(self, folder: Path, key: str) -> Iterator[MediaObject]:
        """Depth first, a folder by its name with the slash, so that keys come in their order."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(
                    ((_part(entry), entry) for entry in found if not entry.name.startswith(".")),
                    key=lambda pair: os.fsencode(pair[0]),
                )
        except FileNotFoundError:
            return  # gone since its parent was read
        except OSError as error:
            raise ListingEndedEarly(
                f"The listing of {printable(str(self._folder))} ended early: "
                f"{printable(str(folder))} cannot be read ({error.strerror}).",
                remedy="Change its permissions and run again; with --allow-short-listing what is "
                "listed is taken in, and nothing behind it is removed.",
            ) from error
        for part, entry in entries:
            name = key + part
            if not name.startswith(self._prefix) and not self._prefix.startswith(name):
                continue
            if part.endswith("/"):
                yield from self._below(Path(entry.path), name)
            elif (obj := self._object(Path(entry.path), name)) is not None:
                yield obj

    def _object(self, file: Path, key: str) -> MediaObject | None:
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise SettingsError(
                f"{file.as_posix().encode('utf-8', 'backslashreplace').decode()} in source.folder "
                "has a name that is not UTF-8.",
                remedy="Rename it; what is stored of it could not be read by others.",
            ) from error
        try:
            facts = file.stat()
            if not stat.S_ISREG(facts.st_mode) or not key.startswith(self._prefix):
                return None
            etag = self._etag(file, file)
        except FileNotFoundError:
            return None  # gone meanwhile, or a link that leads nowhere
        except PermissionError:
            etag = _stat_etag(facts)  # its digest cannot be had; the fetch will say why
        modified = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat()
        return MediaObject(self._folder.as_posix(), key, etag, facts.st_size, modified)

    def _etag(self, file: Path, content: Path) -> str:
        """Of the file, by its content where that is asked, which may lie in a copy."""
        if not self._by_digest:
            return _stat_etag(file.stat())
        with content.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()


def _gone(obj: MediaObject) -> ObjectChanged:
    return ObjectChanged(
        f"{printable(obj.uri)} is no longer there.",
        code="object_gone",
        remedy="The next run takes it out of the index.",
    )


def _changed(obj: MediaObject, since: str) -> ObjectChanged:
    return ObjectChanged(
        f"{printable(obj.uri)} has changed since it was {since}.",
        remedy="The next run takes it in.",
    )


def _denied(obj: MediaObject) -> ObjectDenied:
    return ObjectDenied(f"{printable(obj.uri)} may not be read.", remedy="Change its permissions.")


def _unreadable(obj: MediaObject, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"{printable(obj.uri)} cannot be read: {error.strerror}.",
        remedy="Look at the disk, then run again.",
    )


def _stat_etag(facts: os.stat_result) -> str:
    return f"{facts.st_size:x}-{facts.st_mtime_ns:x}-{facts.st_ino:x}"


def _part(entry: os.DirEntry[str]) -> str:
    """Its share of the keys below it."""
    return entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
