"""A manifest: a file that names objects of any bucket, one by one, with what is known of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.errors import ManifestInvalid, ObjectDenied
from pipeline.local_files import scratch_folder
from pipeline.places import split_uri
from pipeline.records import MediaObject, Place
from pipeline.s3.client import get_file
from pipeline.s3.look import look
from pipeline.settings import SourceSettings
from pipeline.source.bucket import BucketSource
from pipeline.source.manifest_rows import manifest_batches
from pipeline.source.sorted_listing import Row, merged, object_of, write_runs

LOOKS_AT_ONCE = 16
LOOKS_AHEAD = 256


class ManifestSource(BucketSource):
    """What a row does not say of its object, its ETag or its size, is asked by a HEAD.

    A manifest names some objects, and says nothing of all others: known objects that it does not
    name are kept, unless `source.manifest_is_whole`. One that it names and that is not there has
    gone.
    """

    def __init__(self, settings: SourceSettings, manifest: str) -> None:
        super().__init__(settings)
        self._manifest = manifest
        self._is_whole = settings.manifest_is_whole
        self._missing: set[Place] = set()
        self._kept = 0

    def check(self) -> None:
        if "://" not in self._manifest:
            if not Path(self._manifest).expanduser().is_file():
                raise self._not_there()
            return
        try:
            _, bucket, _ = split_uri(self._manifest)
        except ValueError as error:
            raise ManifestInvalid(
                f"Setting source.manifest: {error}.", remedy="Name a file, or s3://bucket/key."
            ) from error
        self._first_contact(bucket)

    def listed(self) -> Iterator[MediaObject]:
        self._missing.clear()
        self._kept = 0
        with scratch_folder() as folder, self._file(folder) as path:
            write_runs(manifest_batches(path, self._manifest), folder)
            runs = sorted(folder.glob("*.arrow"))
            yield from self._looked_at(merged(runs, f"Manifest {self._manifest}"))

    def is_gone(self, bucket: str, key: str) -> bool:
        gone = self._is_whole or (bucket, key) in self._missing
        self._kept += not gone
        return gone

    def notes(self) -> tuple[str, ...]:
        said = []
        if self._kept:
            said.append(
                f"{self._kept} known objects that the manifest does not name are kept "
                "(source.manifest_is_whole would remove them)."
            )
        if self._missing:
            such_as = "s3://" + "/".join(min(self._missing))
            said.append(
                f"{len(self._missing)} objects of the manifest are not there, such as {such_as}."
            )
        return tuple(said)

    @contextmanager
    def _file(self, folder: Path) -> Iterator[Path]:
        if "://" not in self._manifest:
            yield Path(self._manifest).expanduser()
            return
        _, bucket, key = split_uri(self._manifest)
        path = folder / "manifest"
        if not get_file(self._client, bucket, key, path):
            raise self._not_there()
        yield path

    def _not_there(self) -> ManifestInvalid:
        return ManifestInvalid(
            f"There is no manifest {self._manifest}.", remedy="Mend source.manifest."
        )

    def _looked_at(self, rows: Iterator[Row]) -> Iterator[MediaObject]:
        """In the order of the rows, some looks ahead."""
        asked: deque[tuple[Row, Future[MediaObject | None] | None]] = deque()
        with ThreadPoolExecutor(LOOKS_AT_ONCE, "look") as pool:
            try:
                for row in rows:
                    known = row[2] is not None and row[3] is not None
                    asked.append((row, None if known else pool.submit(self._look, row)))
                    if len(asked) >= LOOKS_AHEAD:
                        yield from self._answered(*asked.popleft())
                while asked:
                    yield from self._answered(*asked.popleft())
            finally:
                for _, answer in asked:
                    if answer is not None:
                        answer.cancel()

    def _answered(
        self, row: Row, answer: Future[MediaObject | None] | None
    ) -> Iterator[MediaObject]:
        if answer is None:
            yield object_of(row)
        elif (found := answer.result()) is not None:
            yield replace(found, metadata=row[7] or "")
        else:
            self._missing.add((row[0], row[1]))

    def _look(self, row: Row) -> MediaObject | None:
        bucket, key, etag, size_bytes, modified, storage_class, version_id, _ = row
        try:
            found = look(self._client, bucket, key, version_id)
        except ObjectDenied:
            # Its fetch will say so, and then it is a row of the run's.
            return MediaObject(bucket, key, etag or "", size_bytes or 1, modified or "",
                               storage_class or "STANDARD", version_id)  # fmt: skip
        if found is None or etag in (None, found.etag):
            return found
        return replace(found, etag=etag)  # of other bytes than are there: its fetch will say so
