"""The store of plans, embeddings, receipts and state: a folder, or a prefix of a bucket.

Both know the same two conditional writes, on which the protocol of a run stands: `create` fails
where the name exists, `replace` where it is no longer the version that was read. Names are relative
POSIX paths, as in "runs/000001-ab12/plan.parquet".
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from pipeline.errors import SensedexError, SettingsError, StoreUnavailable, Transient
from pipeline.local_files import scratch_folder
from pipeline.s3 import client as s3
from pipeline.s3.errors import first_contact
from pipeline.s3.listing import list_keys
from pipeline.s3.object_file import ObjectFile
from pipeline.settings import SourceSettings

_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
PRIVATE = ".writing"  # half-written files and the lock of a folder; never listed


class AlreadyThere(Transient):
    """`create` found the name taken: another was first."""

    default_code = "already_there"


class VersionConflict(Transient):
    """`replace` found another version than the one that was read: another was first."""

    default_code = "version_conflict"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a name holds, and the tag by which `replace` knows that it still does."""

    data: bytes
    version: str


class Store(Protocol):
    """Raises StoreUnavailable, SettingsError, CredentialsMissing and BucketNotFound from every
    method; ValueError for a name that is not a relative POSIX path."""

    @property
    def location(self) -> str:
        """For people: a path or an s3:// address."""
        ...

    def read(self, name: str) -> Stored | None:
        """None where there is no such name."""
        ...

    def create(self, name: str, data: bytes) -> str:
        """Returns the new version. Raises AlreadyThere."""
        ...

    def replace(self, name: str, data: bytes, expected_version: str) -> str:
        """Returns the new version. Raises VersionConflict, also where the name is gone."""
        ...

    def put_file(self, name: str, path: Path) -> None:
        """Copy a file of any size in, durable on return. For names that nobody else writes."""
        ...

    def local_copy(self, name: str) -> AbstractContextManager[Path]:
        """A file to read while the context is open. Raises FileNotFoundError."""
        ...

    def opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        """As `local_copy`, but only what is read of it is fetched."""
        ...

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[str]:
        """Names that begin with `prefix` and come after `start_after`, in their order. It is not to
        be a folder's own name: SeaweedFS leaves that folder out."""
        ...

    def delete(self, name: str) -> None:
        """Of a name that is not there, too."""
        ...


def open_store(location: str, source: SourceSettings) -> Store:
    """`location` is a folder, or s3://bucket/prefix at the endpoint that `source` names.

    Nothing is made before the first call of a method; whether an endpoint listens is asked here.
    """
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise SettingsError(
                f"state.location {location!r} names no bucket.",
                remedy="Write it as s3://bucket/prefix.",
            )
        client = s3.make_client(source)
        first_contact(client, bucket)
        return S3Store(client, bucket, prefix)
    if not location or "://" in location:
        raise SettingsError(
            f"state.location {location!r} is neither a folder nor s3://bucket/prefix.",
            remedy="Set state.location.",
        )
    return FolderStore(Path(location))


class FolderStore:
    """Files of one folder: written beside, flushed to the disk, then linked or renamed in place."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self.location = str(self._root)

    def read(self, name: str) -> Stored | None:
        with self._errors(name):
            try:
                data = self._path(name).read_bytes()
            except FileNotFoundError:
                return None
        return Stored(data, _digest(data))

    def create(self, name: str, data: bytes) -> str:
        with self._errors(name), self._written(name, data) as file:
            try:
                os.link(file, self._path(name))
            except FileExistsError as error:
                raise AlreadyThere(f"{name} is already in {self.location}.") from error
            flush_path(self._path(name).parent)
        return _digest(data)

    def replace(self, name: str, data: bytes, expected_version: str) -> str:
        with self._errors(name), self._written(name, data) as file, self._lock():
            held = self.read(name)
            if held is None or held.version != expected_version:
                raise VersionConflict(f"{name} in {self.location} was written by another.")
            self._move(file, name)
        return _digest(data)

    def put_file(self, name: str, path: Path) -> None:
        with self._errors(name), self._written(name, path) as file:
            self._move(file, name)

    @contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        if not self._path(name).is_file():
            raise FileNotFoundError(f"there is no {name} in {self.location}")
        yield self._path(name)

    def opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self._path(name).open("rb")

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[str]:
        # Only the folder that holds everything with the prefix is walked.
        base = self._root / PurePosixPath(prefix + "x").parent
        names = (
            (Path(folder) / file).relative_to(self._root).as_posix()
            for folder, _, files in os.walk(base)
            for file in files
        )
        yield from sorted(
            name
            for name in names
            if name.startswith(prefix) and name > start_after and not name.startswith(PRIVATE + "/")
        )

    def delete(self, name: str) -> None:
        with self._errors(name):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._root / _checked(name)

    @contextmanager
    def _written(self, name: str, content: bytes | Path) -> Iterator[Path]:
        """A complete, flushed file on the same disk; what is left of it goes with the context."""
        private = self._root / PRIVATE
        private.mkdir(parents=True, exist_ok=True)
        self._path(name).parent.mkdir(parents=True, exist_ok=True)
        temporary = private / uuid.uuid4().hex
        try:
            with temporary.open("xb") as file:
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as f:
                    shutil.copyfileobj(f, file, 2**20)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _move(self, file: Path, name: str) -> None:
        file.replace(self._path(name))
        flush_path(self._path(name).parent)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Between reading a version and replacing it nobody else may; ends with the process."""
        with (self._root / PRIVATE / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except SensedexError:
            raise
        except OSError as error:
            said = f"{name} in {self.location}: {error.strerror or error}."
            if error.errno not in _NOT_ALLOWED:
                raise StoreUnavailable(said, remedy="Look at the disk, then run again.") from error
            remedy = "Set state.location to a folder that can be written."
            raise SettingsError(said, remedy=remedy) from error


class S3Store:
    """Keys under a prefix of one bucket; the version of a name is its ETag."""

    def __init__(self, client: s3.S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.location = f"s3://{self._bucket}/{self._prefix}"

    def read(self, name: str) -> Stored | None:
        found = s3.get_bytes(self._client, self._bucket, self._key(name))
        return None if found is None else Stored(*found)

    def create(self, name: str, data: bytes) -> str:
        key = self._key(name)
        try:
            return s3.put_bytes(self._client, self._bucket, key, data, if_none_match=True)
        except s3.PreconditionFailed as error:
            raise AlreadyThere(f"{name} is already in {self.location}.") from error

    def replace(self, name: str, data: bytes, expected_version: str) -> str:
        key = self._key(name)
        try:
            return s3.put_bytes(self._client, self._bucket, key, data, if_match=expected_version)
        except s3.PreconditionFailed as error:
            raise VersionConflict(f"{name} in {self.location} was written by another.") from error

    def put_file(self, name: str, path: Path) -> None:
        s3.put_file(self._client, self._bucket, self._key(name), path)

    @contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        with scratch_folder() as folder:
            path = folder / PurePosixPath(_checked(name)).name
            if not s3.get_file(self._client, self._bucket, self._key(name), path):
                raise FileNotFoundError(f"there is no {name} in {self.location}")
            yield path

    def opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        return cast("BinaryIO", ObjectFile(self._client, self._bucket, self._key(name)))

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[str]:
        after = self._prefix + start_after if start_after else ""
        keys = list_keys(self._client, self._bucket, self._prefix + prefix, after)
        return (key.removeprefix(self._prefix) for key in keys)

    def delete(self, name: str) -> None:
        s3.delete(self._client, self._bucket, self._key(name))

    def _key(self, name: str) -> str:
        return self._prefix + _checked(name)


def _checked(name: str) -> str:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or parts[0] == PRIVATE or "\0" in name:
        raise ValueError(f"{name!r} is not a relative path")
    return name


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def flush_path(path: Path) -> None:
    """A file's content, or a folder's names, which must survive a power cut, too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
