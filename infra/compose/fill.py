"""Puts the demo's media into the bucket that sensedex.toml names, and makes the state's bucket."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flows.cli.demo_bucket import demo_files, sync_bucket
from pipeline.s3 import client as s3
from pipeline.settings import Settings, load_settings


def fill(settings: Settings, media: Path) -> None:
    """Make both buckets where they are not yet; the media's is made equal to the folder."""
    client = s3.make_client(settings.source)
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=urlsplit(settings.state.location).netloc)
    done = sync_bucket(settings.source, media)
    print(f"{done.objects} objects in {settings.source.bucket}, {done.put} put now")


if __name__ == "__main__":
    fill(load_settings(Path(__file__).with_name("sensedex.toml")), demo_files() / "media")
