"""Some of the demo's media and every nasty key, in a bucket that a real run has indexed with the
model in the box: what is asked for in a browser has right answers."""

from __future__ import annotations

from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from tests.support import media_files
from tests.support.api_server import ServedCorpus
from tests.support.nasty_keys import KEYS
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

BUCKET = "media"
OF_THE_DEMO = (
    "photos/dog.jpg",
    "photos/cat.jpg",
    "photos/cow.jpg",
    "photos/horse.jpg",
    "photos/owl.jpg",
    "photos/owl.txt",
    "sounds/bark.wav",
    "sounds/owl.ogg",
    "sounds/tiger.ogg",
    "videos/apes-narrated.mp4",
    "videos/apes-narrated.srt",
    "videos/farm.mp4",
    "videos/pets.mp4",
)
NO_ANSWER = "n4sty-28 new\nline <b>.jpg"
"""Listed, and never given by the server: a row of the report."""


def page_corpus(server: S3Server, folder: Path, media: Path) -> ServedCorpus:
    """Past the HTTP server, which bends some of the keys."""
    objects = {key: (media / key).read_bytes() for key in OF_THE_DEMO}
    objects |= {key: media_files.jpeg(100 + n) for n, key in enumerate([*KEYS, NO_ANSWER])}
    server.client().create_bucket(Bucket=BUCKET)
    for key, body in objects.items():
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, body)
    settings = settings_for(
        folder,
        server.url,
        bucket=BUCKET,
        encode__encoder="sensedex-mini",
        embed__engine="loop",
        tags__labels=["a dog", "a cow", "a horse"],
    )
    report = run_index(settings, RunOptions())
    assert report.objects_by_status == {"indexed": len(objects) - 1, "failed": 1}
    return ServedCorpus(settings, objects)
