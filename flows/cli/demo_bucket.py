"""Puts a folder into the demo's bucket, with the same S3 calls that anybody would use."""

from __future__ import annotations

import mimetypes
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline import s3
from pipeline.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Sync:
    """What was put, and how long it took."""

    objects: int
    bytes: int
    seconds: float


def sync_bucket(source: SourceSettings, folder: Path) -> Sync:
    """Make the bucket and put every file of the folder; a file's path is its key."""
    started = time.perf_counter()
    client = s3.make_client(source)
    client.create_bucket(Bucket=source.bucket)
    objects = size = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        key = path.relative_to(folder).as_posix()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        client.put_object(Bucket=source.bucket, Key=key, Body=path.read_bytes(), ContentType=kind)
        objects += 1
        size += path.stat().st_size
    return Sync(objects, size, time.perf_counter() - started)
