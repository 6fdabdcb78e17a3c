"""A state and a collection of an older commit, the bucket that they are of, and how they were made.

    python -m tests.older_state FOLDER

made tests/fixtures/before_rooms at the commit that added it. It is not made again: that later code
reads what that commit wrote is what tests/pipeline/test_older_state.py is about.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from pipeline.index.vector_index import open_index
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from tests.support.run_settings import settings_for

BUCKET = "before-rooms"
MEDIA = Path(__file__).parent.parent / "infra" / "demo" / "media"
BEFORE_ROOMS = Path(__file__).parent / "fixtures" / "before_rooms"
KEYS = (
    "broken/empty.mp4",
    "broken/shopping-list.mp4",
    "odd names/100% Münzen 🪙.jpg",
    "photos/cow.jpg",
    "photos/cow.txt",
    "photos/lion.jpg",
    "photos/lion.txt",
    "photos/penguin.jpg",
    "sounds/owl.ogg",
    "videos/insects-silent.mp4",
)
LEFT_BEFORE = "photos/moon.jpg"
"""In the bucket of the first of the two runs, and no longer in that of the second."""
CAME_LATER = ("photos/penguin.jpg", "sounds/owl.ogg")


def content(key: str) -> bytes:
    return (MEDIA / key).read_bytes()


def older_settings(endpoint_url: str, folder: Path, **fields: Any) -> Settings:
    """Of the two runs: two encoders, one of them of a seed, tags, and shards of a few objects."""
    then = {
        "state__shard_objects": 3,
        "encode__encoder": "sensedex-mini",
        "encode__precision": "fp32",  # the same on every machine
        "encode__also": [{"encoder": "imagebind-demo"}],
        "tags__labels": ["cow", "lion", "penguin", "owl"],
    }
    return settings_for(folder, endpoint_url, bucket=BUCKET, **(then | fields))


def stored_points(settings: Settings) -> dict[str, dict[str, Any]]:
    """The payload of every point, by its id."""
    found: dict[str, dict[str, Any]] = {}
    with open_index(settings.index) as index:
        points = index.points()
        for page in points.pages(["kind"]):
            whole = points.fetch([point.point_id for point in page])
            found |= {str(point_id): dict(point.payload) for point_id, point in whole.items()}
    return found


def make(folder: Path) -> None:
    """Two runs of this commit over a server of S3; nothing of this machine is left in them."""
    from pipeline.state import lease
    from tests.support.s3_server import moto_server, reset_moto

    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test-secret")
    os.environ.update(AWS_DEFAULT_REGION="us-east-1")
    socket.gethostname = lambda: "maker"
    lease._process = lambda _: ""
    with moto_server() as server:
        reset_moto(server.url)
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        settings = older_settings(server.url, folder)
        for key in (*KEYS, LEFT_BEFORE):
            if key not in CAME_LATER:
                client.put_object(Bucket=BUCKET, Key=key, Body=content(key))
        run_index(settings)
        for key in CAME_LATER:
            client.put_object(Bucket=BUCKET, Key=key, Body=content(key))
        client.delete_object(Bucket=BUCKET, Key=LEFT_BEFORE)
        run_index(settings)
    points = dict(sorted(stored_points(settings).items()))
    text = json.dumps(points, indent=1, sort_keys=True, ensure_ascii=True)
    (folder / "points.json").write_text(text + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
