"""The objects behind the assets: whether each is still what was indexed, its bytes, a link to it.

Every byte is asked for on the condition of the ETag that was indexed (If-Match), so that nobody is
sent a part of one content and a part of another.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import (
    ObjectChanged,
    ObjectDenied,
    SensedexError,
    StoreUnavailable,
    Transient,
    printable,
)
from pipeline.records import MediaObject
from pipeline.settings import SourceSettings
from pipeline.source.folder import FolderSource
from pipeline.source.source import Source, open_source

if TYPE_CHECKING:
    from pipeline.s3.client import S3Client

MOST_LOOKED_AT = 50_000
LINK_LASTS_S = 3600
ASK_AGAIN_S = 5.0  # of a store that did not answer


class Objects:
    """For any number of threads. `look_for_s`: how long a look at an object counts."""

    def __init__(self, source: SourceSettings, look_for_s: float) -> None:
        self._settings = source
        self._look_for_s = look_for_s
        self._seen: OrderedDict[tuple[str, ...], tuple[float, SensedexError | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._away: tuple[float, SensedexError | None] = (0.0, None)

    def look(self, obj: MediaObject) -> None:
        """Raises ObjectChanged (`object_gone`), ObjectDenied, ObjectArchived, StoreUnavailable,
        CredentialsMissing."""
        seen = (obj.bucket, obj.key, obj.etag, obj.version_id or "")
        with self._lock:
            until, error = self._seen.get(seen, (0.0, None))
        if until < time.monotonic():
            error = self._found_out(obj)
            with self._lock:
                unknown = isinstance(error, Transient) and not isinstance(error, ObjectChanged)
                for_s = min(self._look_for_s, ASK_AGAIN_S) if unknown else self._look_for_s
                self._seen[seen] = (time.monotonic() + for_s, error)
                self._seen.move_to_end(seen)
                if len(self._seen) > MOST_LOOKED_AT:
                    self._seen.popitem(last=False)
        if error is not None:
            raise error.with_traceback(None)

    def look_now(self, obj: MediaObject) -> None:
        """The same, whatever an earlier look has found."""
        self.forget(obj)
        self.look(obj)

    def why_stale(self, obj: MediaObject) -> str | None:
        """The code of why it cannot be played; None where it can."""
        try:
            self.look(obj)
        except SensedexError as error:
            return error.code
        return None

    def forget(self, obj: MediaObject) -> None:
        """Look again at the next question."""
        with self._lock:
            self._seen.pop((obj.bucket, obj.key, obj.etag, obj.version_id or ""), None)

    def read(self, obj: MediaObject, start: int, stop: int) -> bytes:
        """These bytes, of the content that was indexed. Raises as `look` does."""
        try:
            if self._in_folder(obj):
                if self._settings.folder_etag == "digest":  # which no part of a file tells
                    self.look(obj)
                self._file(obj)
                return self._folder.read(obj, start, stop)
            from pipeline.s3.reading import read_range

            return read_range(self._client, obj, start, stop)
        except ObjectChanged:
            self.forget(obj)
            raise

    def fetch(self, obj: MediaObject, path: Path) -> None:
        """All of an object of a bucket, to `path`. Raises as `look` does."""
        self._source.fetch(obj, path)

    def in_place(self, obj: MediaObject) -> Path | None:
        """Its file, where it lies in the folder that is served. Raises as `look` does."""
        if not self._in_folder(obj):
            return None
        self.look(obj)
        return self._file(obj)

    def link(self, obj: MediaObject) -> str | None:
        """An address that plays for an hour, whoever has it; None for a file of a folder. Raises
        CredentialsMissing."""
        if self._in_folder(obj):
            return None
        from pipeline.s3.client import presign

        return presign(self._client, obj, LINK_LASTS_S)

    def _found_out(self, obj: MediaObject) -> SensedexError | None:
        until, away = self._away
        if until > time.monotonic():
            return away  # each would wait for a store that did not answer the one before
        try:
            if self._in_folder(obj):
                self._file(obj)
                self._folder.look(obj)
            else:
                from pipeline.s3.client import check_unchanged

                check_unchanged(self._client, obj)
        except StoreUnavailable as error:
            self._away = (time.monotonic() + ASK_AGAIN_S, error)
            return error
        except SensedexError as error:
            return error
        return None

    def _in_folder(self, obj: MediaObject) -> bool:
        return obj.bucket.startswith("/")

    def _file(self, obj: MediaObject) -> Path:
        """A file of the source's own folder, and of no other, whatever a payload says. Raises
        ObjectDenied."""
        folder = self._settings.folder
        file = Path(obj.bucket, obj.key)
        if folder is None or obj.bucket != self._settings.name or ".." in file.parts:
            raise ObjectDenied(
                f"{printable(obj.uri)} is not in the folder that is served.",
                remedy="Set source.folder to that folder.",
            )
        return file

    @cached_property
    def _folder(self) -> FolderSource:
        return FolderSource(Path(self._settings.name), "", self._settings.folder_etag)

    @cached_property
    def _source(self) -> Source:
        return open_source(self._settings)

    @cached_property
    def _client(self) -> S3Client:
        from pipeline.s3.client import make_client

        return make_client(self._settings)
