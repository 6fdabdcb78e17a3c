"""Makes the demo's bucket equal to a folder, with the same S3 calls that anybody would use."""

from __future__ import annotations

import hashlib
import mimetypes
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Sync:
    """What the bucket holds now, what of it was put and deleted for that, and how long it took."""

    objects: int
    bytes: int
    put: int
    deleted: int
    seconds: float


def sync_bucket(source: SourceSettings, folder: Path) -> Sync:
    """Make the bucket where there is none, put every file that it has not, delete what the folder
    has not; a file's path is its key."""
    started = time.perf_counter()
    client = s3.make_client(source)
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=source.bucket)
    there = {obj.key: obj.etag for obj in list_pages(client, source.bucket, "")}
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    size = put = 0
    for key, path in files.items():
        content = path.read_bytes()
        size += len(content)
        # The ETag of an object that was put in one piece is its MD5.
        if there.get(key) == hashlib.md5(content, usedforsecurity=False).hexdigest():
            continue
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        client.put_object(Bucket=source.bucket, Key=key, Body=content, ContentType=kind)
        put += 1
    gone = there.keys() - files.keys()
    for key in gone:
        s3.delete(client, source.bucket, key)
    return Sync(len(files), size, put, len(gone), time.perf_counter() - started)


def demo_files() -> Path:
    """The demo's media and searches: `infra/demo` of a checkout; of a wheel, beside this module."""
    shipped = Path(__file__).parent / "demo_files"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / "infra" / "demo"
