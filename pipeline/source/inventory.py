"""An S3 Inventory as a listing: what the bucket held when it was made, in files, in any order.

Each file is fetched, held against its MD5, sorted (`sorted_listing.py`) and kept in
`source.inventory_folder` until another inventory comes: a plan that is stopped goes on with the
next file, and the plan of the run after it reads what is sorted.

    <inventory_folder>/<this inventory>/<its manifest.json>/000017/000000.arrow

An inventory is hours old. Nothing is removed by its word alone: a known object that is not in it is
looked for in the bucket first.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import ManifestInvalid
from pipeline.local_files import room_named
from pipeline.places import split_uri
from pipeline.records import MediaObject
from pipeline.s3.client import get_bytes, get_file
from pipeline.s3.listing import list_keys
from pipeline.s3.look import Presence
from pipeline.settings import SourceSettings
from pipeline.source.bucket import BucketSource
from pipeline.source.inventory_manifest import Inventory, InventoryFile, read_inventory
from pipeline.source.inventory_rows import inventory_batches
from pipeline.source.select import selected_by_name
from pipeline.source.sorted_listing import merged, object_of, write_runs

MANIFEST = "manifest.json"
_OF_A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\dZ/manifest\.json")
_KEPT_LAYOUT = "1"  # of the sorted files


class InventorySource(BucketSource):
    """`address` is that of a `manifest.json`, or of the folder in which S3 makes one each day, of
    which the newest counts."""

    def __init__(self, settings: SourceSettings, address: str) -> None:
        super().__init__(settings)
        self._settings = settings
        self._address = address
        self._presence = Presence(self._client, self._scopes)
        self._wanted = selected_by_name(settings)
        self._read: tuple[Inventory, str] | None = None
        self._kept = 0

    def check(self) -> None:
        try:
            _, bucket, _ = split_uri(self._address)
        except ValueError as error:
            raise ManifestInvalid(
                f"Setting source.inventory: {error}.",
                remedy="Name s3://bucket/.../manifest.json, or the folder of the inventory.",
            ) from error
        self._first_contact(bucket)
        self._read = self._manifest()

    def listed(self) -> Iterator[MediaObject]:
        if self._read is None:
            self.check()
        assert self._read is not None
        inventory, digest = self._read
        self._kept = 0
        folder = self._folder(digest)
        for number, file in enumerate(inventory.files):
            if not (folder / f"{number:06d}").is_dir():
                self._sort(inventory, file, folder / f"{number:06d}")
        runs = sorted(folder.glob("[0-9]*/*.arrow"))
        yield from map(object_of, merged(runs, f"Inventory {inventory.name}"))

    def is_gone(self, bucket: str, key: str) -> bool:
        if not self._wanted(bucket, key):
            return True
        there = self._presence.has(bucket, key)
        self._kept += there
        return not there

    def notes(self) -> tuple[str, ...]:
        if self._read is None:
            return ()
        created = self._read[0].created
        hours = (datetime.now(UTC) - created).total_seconds() / 3600
        said = [
            f"By the inventory of {created:%Y-%m-%d %H:%M} UTC, {hours:.0f} hours old: what has "
            "changed since is seen by the next one, or by a run without source.inventory."
        ]
        if self._kept:
            said.append(
                f"{self._kept} known objects are not in the inventory, and are there: kept. They "
                "are newer than it, or of a prefix that it does not cover."
            )
        return tuple(said)

    def _manifest(self) -> tuple[Inventory, str]:
        """Of the manifest.json, and the digest of it and of what is taken of its files."""
        _, bucket, key = split_uri(self._address)
        if not key.endswith(MANIFEST):
            folder = key if key.endswith("/") or not key else key + "/"
            made = [
                name
                for name in list_keys(self._client, bucket, folder)
                if _OF_A_TIME.fullmatch(name.removeprefix(folder))
            ]
            if not made:
                raise self._not_there(f"s3://{bucket}/{folder}")
            key = max(made)
        found = get_bytes(self._client, bucket, key)
        if found is None:
            raise self._not_there(f"s3://{bucket}/{key}")
        data, _ = found
        inventory = read_inventory(f"s3://{bucket}/{key}", data)
        checksum = get_bytes(self._client, bucket, key.removesuffix("json") + "checksum")
        if checksum is not None and checksum[0].decode("ascii", "replace").strip() != _md5(data):
            raise inventory.error("it does not fit its manifest.checksum")
        if tuple(self._settings.buckets) != (inventory.source_bucket,):
            raise inventory.error(
                f"it is of bucket {inventory.source_bucket!r}, and source names "
                f"{self._settings.title!r}"
            )
        taken = repr((_KEPT_LAYOUT, self._scopes)).encode()
        return inventory, hashlib.sha256(taken + data).hexdigest()[:16]

    def _not_there(self, where: str) -> ManifestInvalid:
        return ManifestInvalid(
            f"There is no {MANIFEST} of an inventory in {where}.",
            remedy="Mend source.inventory; S3 makes the first one within two days.",
        )

    def _folder(self, digest: str) -> Path:
        """Of the sorted files; those of earlier inventories of this address are removed."""
        of_address = hashlib.sha256(self._address.encode()).hexdigest()[:16]
        parent = self._settings.inventory_folder.expanduser() / of_address
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.iterdir():
            if other.name != digest:
                shutil.rmtree(other, ignore_errors=True)
        (parent / digest).mkdir(exist_ok=True)
        return parent / digest

    def _sort(self, inventory: Inventory, file: InventoryFile, target: Path) -> None:
        """Under its name once it is whole: what is half done goes with the folder."""
        folder = target.parent
        with room_named(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".") as made:
            path = Path(made, Path(file.key).name)
            if not get_file(self._client, inventory.files_bucket, file.key, path):
                raise inventory.error(f"its file {file.key} is not there")
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
            if digest.hexdigest() != file.md5:
                raise inventory.error(
                    f"its file {file.key} has MD5 {digest.hexdigest()}, not {file.md5}"
                )
            sorted_files = Path(made, "sorted")
            sorted_files.mkdir()
            write_runs(inventory_batches(path, inventory, self._scopes), sorted_files)
            try:
                sorted_files.rename(target)
            except OSError:
                if not target.is_dir():  # another plan was first
                    raise


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
